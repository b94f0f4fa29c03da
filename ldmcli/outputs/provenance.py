"""XMP that says a model drew a picture, in the words of the IPTC: what sites, editors and exiftool look for."""

import json

KEY = "XML:com.adobe.xmp"
"""Of the PNG text that holds XMP."""
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DRAWN = f"{VOCABULARY}trainedAlgorithmicMedia"
EDITED = f"{VOCABULARY}compositeWithTrainedAlgorithmicMedia"
"""Of which a part is another picture's: with --mask, and where reconstructions stand beside what they are of."""
RECONSTRUCTIONS = "reconstructions"
"""The kind of sheet that shows other people's pictures too."""

PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
"""Read-only, so without the padding for editors that change it in place; the same picture makes the same bytes."""

GIF_MAGIC = b"\x01" + bytes(range(0xFF, -1, -1)) + b"\0"
"""Behind the packet, so that a reader that takes letters for lengths of blocks still comes out at the end (XMP, part 3, 1.1.2)."""
GIF_TRAILER = b";"


def xmp_packet(texts: dict[str, str]) -> str:
    """texts: those that stand in the picture beside it; what the record in `ldm` shows decides between DRAWN and EDITED."""
    facts = json.loads(texts.get("ldm", "{}"))
    edited = facts.get("mask") is not None or facts.get("sheet") == RECONSTRUCTIONS
    return PACKET.format(source=EDITED if edited else DRAWN)


def with_xmp(gif: bytes) -> bytes:
    """The bytes of a GIF, with an application extension before its end. Its pictures are all drawn."""
    block = b"\x21\xff\x0bXMP DataXMP" + xmp_packet({}).encode() + GIF_MAGIC
    return gif.removesuffix(GIF_TRAILER) + block + GIF_TRAILER
