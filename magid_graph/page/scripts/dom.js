// Elements. Text from strangers only ever becomes text nodes and attribute values: there is no innerHTML on this page,
// and its policy would refuse it.

const $ = (id) => document.getElementById(id);

function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// The policy allows no style attributes; what depends on a figure is set here.
function styled(element, style) {
  for (const [name, value] of Object.entries(style)) element.style.setProperty(name, value);
  return element;
}

function fill(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const count = (n) => n.toLocaleString("en-US");
const counted = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
const figure = (value) => (value === null || value === undefined ? "–" : value.toFixed(Math.abs(value) < 10 ? 3 : 1));

function seconds(value) {
  if (value === null || value === undefined) return "";
  return value < 1 ? `${Math.round(value * 1000)} ms` : value < 120 ? `${value.toFixed(1)} s` : `${Math.round(value / 60)} min`;
}
