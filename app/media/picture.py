"""The chain of filters that makes a recipe's picture. Pure: text in ffmpeg's filter language.

A picture is never stretched: it is scaled evenly and then cropped or padded. Whatever comes in goes out as
progressive BT.709 with a constant rate, square pixels and 8 bits.
"""

from __future__ import annotations

from app.domain.recipe import Picture
from app.domain.video_spec import VideoFacts

HD_LINES = (
    720  # without a word about colours, smaller pictures are BT.601, others BT.709: what players assume
)
WIDE = ("bt2020", "smpte431", "smpte432")  # primaries whose colours look pale when taken for BT.709
BLUR_SHARE = 8  # the blurred background is made at this fraction of its size: cheaper, and as soft
TAGS = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv:field_mode=prog"
_BICUBIC = "flags=bicubic+accurate_rnd+full_chroma_int"


def filters(facts: VideoFacts, picture: Picture) -> str:
    """Return the filter graph from the decoded picture to the encoder."""
    before = ["bwdif=mode=send_frame"] if facts.is_interlaced else []
    rate = f"fps={picture.frame_rate}:start_time=0"
    after = [*_colors(facts), "setsar=1", "format=yuv420p", TAGS]
    return ",".join([*before, rate, _shape(facts, picture), *after])


def needs_zscale(facts: VideoFacts) -> bool:
    """Return whether the colours need ffmpeg's zscale filter (libzimg)."""
    return facts.is_hdr or facts.color_primaries in WIDE


def _shape(facts: VideoFacts, picture: Picture) -> str:
    width, height = picture.width, picture.height
    inside = _covering(facts, width, height, cover=False)
    if picture.shape == "pad":
        return f"{_scale(facts, inside)},pad={width}:{height}:{_centre('ow-iw', 'oh-ih')}:black"
    if picture.shape == "blur":
        return _blurred(facts, picture, inside)
    outside = _covering(facts, width, height, cover=True)  # None: the proportions fit but for rounding
    crop = "" if outside == (width, height) else f",crop={width}:{height}"
    return f"{_scale(facts, outside)}{crop}"


def _blurred(facts: VideoFacts, picture: Picture, inside: tuple[int, int]) -> str:
    width, height = picture.width, picture.height
    small = (_even(width / BLUR_SHARE), _even(height / BLUR_SHARE))
    cover = _covering(facts, *small, cover=True)
    behind = f"scale={cover[0]}:{cover[1]}:flags=area,crop={small[0]}:{small[1]},gblur=sigma=4"
    behind = f"{behind},scale={width}:{height}:flags=bicubic,setsar=1"
    front = f"scale={inside[0]}:{inside[1]}:{_BICUBIC},setsar=1"
    working = "format=yuv420p10" if needs_zscale(facts) else f"scale={_matrix(facts)},format=yuv420p"
    split = f"{working},split[a][b];[a]{behind}[behind];[b]{front}[front]"
    return f"{split};[behind][front]overlay={_centre('W-w', 'H-h')}:format=auto"


def _centre(across: str, down: str) -> str:
    """Even offsets: chroma has half the resolution."""
    return f"trunc(({across})/4)*2:trunc(({down})/4)*2"


def _covering(facts: VideoFacts, width: int, height: int, *, cover: bool) -> tuple[int, int]:
    """Return the even size to scale to so that the picture covers the frame, or lies inside it."""
    across, down = width / facts.width, height / facts.height
    share = max(across, down) if cover else min(across, down)
    scaled = (_even(facts.width * share), _even(facts.height * share))
    if cover:
        return max(scaled[0], width), max(scaled[1], height)
    return min(scaled[0], width), min(scaled[1], height)


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)


# -- colours


def _scale(facts: VideoFacts, size: tuple[int, int]) -> str:
    """Scale, and unless another conversion of the colours follows, convert them as well."""
    matrix = "" if needs_zscale(facts) else f":{_matrix(facts)}"
    return f"scale={size[0]}:{size[1]}:{_BICUBIC}{matrix}"


def _matrix(facts: VideoFacts) -> str:
    guess = "bt709" if min(facts.width, facts.height) >= HD_LINES else "smpte170m"
    source = "" if facts.color_matrix else f"in_color_matrix={guess}:"
    return f"{source}out_color_matrix=bt709:out_range=tv"


def _colors(facts: VideoFacts) -> list[str]:
    if facts.is_hdr:
        return [
            f"zscale={_declared(facts)}t=linear:npl=100",
            "format=gbrpf32le",
            "zscale=p=bt709",
            "tonemap=hable:desat=0",
            "zscale=t=bt709:m=bt709:r=tv",
        ]
    return [f"zscale={_declared(facts)}p=bt709:t=bt709:m=bt709:r=tv"] if needs_zscale(facts) else []


def _declared(facts: VideoFacts) -> str:
    """Say what the file leaves out about its colours; without it zscale refuses to convert."""
    said = {"pin": facts.color_primaries, "min": facts.color_matrix, "tin": facts.color_transfer}
    usual = {"pin": "bt2020", "min": "bt2020nc", "tin": "bt709"}
    return "".join(f"{name}={usual[name]}:" for name, known in said.items() if known is None)
