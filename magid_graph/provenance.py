"""Where a picture comes from, written into its file: recipe, model, seed, and that no camera took it.

Written when the picture is saved, and from nothing but what determines it: a picture drawn again after a kill has the
same bytes and so the same name. Pixels are not touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for "made by a trained model", which platforms read to label pictures as AI-generated."""

_SOFTWARE = "magid-graph"  # without its version: an upgrade between two halves of a run must not change the bytes

_EXIF_SOFTWARE, _EXIF_DESCRIPTION = 0x0131, 0x010E

_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:magid="urn:magid-graph:1"
{attributes}/></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a picture's file says about it."""

    recipe: str
    """Hash of everything that determines the picture: the journal's `calls` has it as its key."""
    model: str
    seed: int
    is_generated: bool = True
    """No for pictures that were found in a folder."""

    def for_png(self) -> dict[str, Any]:
        """Options of Pillow's PNG writer: text chunks for those who look with any tool, XMP for platforms."""
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        for name, value in self._words().items():
            info.add_text(name, value)
        info.add_itxt("XML:com.adobe.xmp", self._xmp())
        return {"pnginfo": info}

    def for_jpeg(self) -> dict[str, Any]:
        """Options of Pillow's JPEG writer."""
        from PIL.Image import Exif

        exif = Exif()
        words = self._words()
        exif[_EXIF_SOFTWARE] = words.pop("Software")
        exif[_EXIF_DESCRIPTION] = "; ".join(f"{name}: {value}" for name, value in words.items())
        return {"exif": exif, "xmp": self._xmp().encode()}

    def _words(self) -> dict[str, str]:
        source = {"Source": "AI-generated"} if self.is_generated else {}
        return {"Software": _SOFTWARE, **source, "Recipe": self.recipe, "Model": self.model, "Seed": str(self.seed)}

    def _xmp(self) -> str:
        attributes = {
            "xmp:CreatorTool": _SOFTWARE,
            **({"Iptc4xmpExt:DigitalSourceType": TRAINED} if self.is_generated else {}),
            "magid:recipe": self.recipe,
            "magid:model": self.model,
            "magid:seed": str(self.seed),
        }
        return _XMP.format(attributes="\n".join(f" {name}={quoteattr(text)}" for name, text in attributes.items()))
