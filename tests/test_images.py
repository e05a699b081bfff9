import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from unet_edu import images

GRAY = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) * 7  # 12 bits
RGB = np.stack([GRAY, GRAY + 1, GRAY], -1).astype(np.uint8)


def written(path, pixels, **options):
    tifffile.imwrite(path, pixels, **options)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"tile": (16, 16)}])
def test_tiff_of_any_type(tmp_path, dtype, options):
    image = images.read(written(tmp_path / "a.TIF", GRAY.astype(dtype), **options))
    assert image.dtype.newbyteorder("=") == dtype
    assert np.array_equal(image, GRAY.astype(dtype))


@pytest.mark.parametrize("form", ["imagej", "ome"])
def test_tiff_of_microscope_programs(tmp_path, form):
    assert np.array_equal(images.read(written(tmp_path / "a.ome.tif", GRAY, **{form: True})), GRAY)


def test_uncompressed_tiff_is_mapped_and_not_loaded(tmp_path):
    assert isinstance(images.read(written(tmp_path / "a.tif", GRAY)), np.memmap)
    assert not isinstance(images.read(written(tmp_path / "b.tif", GRAY, compression="zlib")), np.memmap)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_compressions_that_need_a_package_are_read_without_it(tmp_path, compression, dtype):
    Image.fromarray(GRAY.astype(dtype)).save(tmp_path / "a.tif", compression=compression)
    image = images.read(tmp_path / "a.tif")
    assert image.dtype == dtype
    assert np.array_equal(image, GRAY.astype(dtype))


def test_a_stack_compressed_so(tmp_path):
    pages = [Image.fromarray(GRAY + k) for k in range(3)]
    pages[0].save(tmp_path / "a.tif", compression="tiff_lzw", save_all=True, append_images=pages[1:])
    assert np.array_equal(images.read_stack(tmp_path / "a.tif"), [GRAY, GRAY + 1, GRAY + 2])


def test_black_and_white_compressed_for_fax_is_not_turned_around(tmp_path):
    Image.fromarray(GRAY > 700).save(tmp_path / "a.tif", compression="group4")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].photometric == 1
    assert np.array_equal(images.read(tmp_path / "a.tif"), GRAY > 700)
    Image.fromarray(GRAY > 700).save(tmp_path / "b.tif", compression="group4", tiffinfo={262: 0})
    with pytest.raises(ValueError, match=r"b.tif: compressed by CCITTFAX4; run: pip install imagecodecs"):
        images.read(tmp_path / "b.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_png(tmp_path, dtype):
    Image.fromarray(GRAY.astype(dtype)).save(tmp_path / "a.png")
    assert images.read(tmp_path / "a.png").dtype == dtype
    assert np.array_equal(images.read(tmp_path / "a.png"), GRAY.astype(dtype))


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_stays_on_disk(tmp_path, version):
    zarr = pytest.importorskip("zarr")
    zarr.open_array(tmp_path / "a.zarr", mode="w", shape=GRAY.shape, dtype="uint16", zarr_format=version)[:] = GRAY
    image = images.read(tmp_path / "a.zarr")
    assert not isinstance(image, np.ndarray)
    assert np.array_equal(image[:], GRAY)


def test_an_array_of_a_zarr_group(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("1", data=GRAY[::2, ::2])
    group.create_array("0", data=GRAY[None, None])
    with pytest.raises(ValueError, match=r"a.zarr: a Zarr group, .* arrays: \S*a.zarr/0, \S*a.zarr/1"):
        images.read(tmp_path / "a.zarr")
    assert np.array_equal(images.read(tmp_path / "a.zarr" / "0"), GRAY)


def test_zarr_is_optional(tmp_path, monkeypatch):
    (tmp_path / "a.zarr").mkdir()
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ValueError, match=r"a.zarr: Zarr needs a package .*; run: pip install zarr"):
        images.read(tmp_path / "a.zarr")


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_colors(tmp_path, name, planar):
    equal = np.stack([GRAY.astype(np.uint8)] * 3, -1)
    for pixels in (equal, RGB, RGB[..., [0, 0, 1]]):
        if name == "a.png":
            Image.fromarray(pixels).save(tmp_path / name)
        elif planar:
            written(tmp_path / name, np.moveaxis(pixels, -1, 0), photometric="rgb", planarconfig="separate")
        else:
            written(tmp_path / name, pixels, photometric="rgb")
        if pixels is equal:
            assert np.array_equal(images.read(tmp_path / name), equal[..., 0])
        else:
            with pytest.raises(ValueError, match=rf"{name}: 3 channels of color .* ImageJ: Image > Color > Split"):
                images.read(tmp_path / name)


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 4), ("LA", 2)])
@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_transparency(tmp_path, name, mode, channels):
    Image.fromarray(GRAY.astype(np.uint8)).convert(mode).save(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}: {channels} channels of color or transparency: one gray value"):
        images.read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_color_tables(tmp_path, name):
    Image.fromarray(GRAY.astype(np.uint8)).convert("P").save(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}: a color table, .*; in ImageJ: Image > Lookup Tables > Grays"):
        images.read(tmp_path / name)


def test_colors_of_16_bit_are_not_cut_to_8(tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.stack([GRAY] * 3, -1))
    header = struct.pack(">IIBBBBB", 30, 20, 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    with pytest.raises(ValueError, match="a.png: colors of 16 bit, .*; save one channel as 16-bit gray"):
        images.read(tmp_path / "a.png")


@pytest.mark.parametrize("axes", ["ZYX", "CYX", "TYX"])
def test_several_images(tmp_path, axes):
    written(tmp_path / "a.tif", np.stack([GRAY, GRAY + 1]), imagej=True, metadata={"axes": axes})
    with pytest.raises(ValueError, match=r"a.tif: holds images of shape \(2, 20, 30\): one .* as a file of its own"):
        images.read(tmp_path / "a.tif")
    assert np.array_equal(images.read_stack(tmp_path / "a.tif"), [GRAY, GRAY + 1])


def test_pages_written_one_by_one(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for k in range(3):
            file.write(GRAY + k)
    with pytest.raises(ValueError, match=r"a.tif: holds images of shape \(3, 20, 30\)"):
        images.read(tmp_path / "a.tif")
    assert np.array_equal(images.read_stack(tmp_path / "a.tif"), [GRAY, GRAY + 1, GRAY + 2])


def test_pages_of_several_sizes(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GRAY)
        file.write(GRAY[:10])
    with pytest.raises(ValueError, match=r"a.tif: holds images of several sizes, \(20, 30\), \(10, 30\); save"):
        images.read(tmp_path / "a.tif")


def test_leading_axes_of_one(tmp_path):
    assert np.array_equal(images.read(written(tmp_path / "a.tif", GRAY[None, None])), GRAY)
    assert images.read_stack(written(tmp_path / "a.tif", GRAY)).shape == (1, 20, 30)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_a_number(tmp_path, bad):
    pixels = GRAY.astype(np.float32)
    pixels[3, 4] = bad
    with pytest.raises(ValueError, match="a.tif: holds NaN or infinite values; replace them"):
        images.read(written(tmp_path / "a.tif", pixels))


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
@pytest.mark.parametrize("kept", [0, 3, 60, 600])
def test_files_cut_short(tmp_path, name, kept):
    noise = np.random.default_rng(0).integers(0, 2**16, (40, 50), dtype=np.uint16)
    images.write(tmp_path / name, noise)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:kept])
    with pytest.raises(ValueError, match=f"{name}: cannot be read, perhaps cut short .*; save it again"):
        images.read(tmp_path / name)


def test_an_uncompressed_file_cut_short(tmp_path):
    written(tmp_path / "a.tif", GRAY)
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:700])
    with pytest.raises(ValueError, match="a.tif: cannot be read"):
        images.read(tmp_path / "a.tif")


def test_what_is_not_there_or_no_image(tmp_path):
    with pytest.raises(FileNotFoundError, match="b.tif: no such file"):
        images.read(tmp_path / "b.tif")
    with pytest.raises(ValueError, match=r"a.jpg: must end in .tif, .tiff, .png, .zarr; save it as TIFF"):
        images.read(tmp_path / "a.jpg")
    zarr = pytest.importorskip("zarr")
    zarr.open_array(tmp_path / "e.zarr", mode="w", shape=(0, 4), dtype="uint8")
    with pytest.raises(ValueError, match=r"e.zarr: empty, of shape \(0, 4\)"):
        images.read(tmp_path / "e.zarr")


def test_files_of_a_folder(tmp_path):
    for name in ("b.TIF", "a.png", "._a.png", ".DS_Store", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "old").mkdir()
    found, others = images.files(tmp_path)
    assert [path.name for path in found] == ["a.png", "b.TIF", "c.zarr"]
    assert [path.name for path in others] == ["notes.txt", "old"]
    assert images.files(tmp_path / "c.zarr") == ([tmp_path / "c.zarr"], [])
    assert images.files(str(tmp_path / "notes.txt")) == ([tmp_path / "notes.txt"], [])
    with pytest.raises(ValueError, match="old: a folder without images; they must end in .tif"):
        images.files(tmp_path / "old")
    with pytest.raises(FileNotFoundError, match="new: no such file or folder"):
        images.files(tmp_path / "new")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.zarr"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_written_is_read(tmp_path, name, dtype):
    if name == "a.zarr":
        pytest.importorskip("zarr")
    images.write(tmp_path / name, np.zeros((3, 4), dtype))
    images.write(tmp_path / name, GRAY.astype(dtype))  # in place of the first
    assert images.read(tmp_path / name).dtype == dtype
    assert np.array_equal(images.read(tmp_path / name)[:], GRAY.astype(dtype))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_tiff_is_compressed_and_holds_stacks_that_are_no_colors(tmp_path):
    images.write(tmp_path / "a.tif", np.zeros((3, 200, 200), np.uint8))
    assert (tmp_path / "a.tif").stat().st_size < 5000
    assert images.read_stack(tmp_path / "a.tif").shape == (3, 200, 200)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].photometric == tifffile.PHOTOMETRIC.MINISBLACK
        assert not file.is_bigtiff


def test_png_holds_no_floats(tmp_path):
    with pytest.raises(ValueError, match="a.png: PNG holds uint8 or uint16, not float32; use .tif"):
        images.write(tmp_path / "a.png", np.zeros((3, 4), np.float32))


def test_a_broken_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a").write_text("old")

    def broken():
        with images.whole(tmp_path / "a") as partial:
            partial.write_text("half")
            assert (tmp_path / "a").read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_level_is_bright_but_no_hot_pixel():
    image = np.full((100, 100), 3000, np.uint16)
    image[0, :9] = 65535
    assert images.level(image) == 3000
    image[0, :12] = 65535
    assert images.level(image) == 65535
    sparse = np.zeros((100, 100), np.uint8)
    sparse[5, 5] = 200
    assert images.level(sparse) == 200


def test_level_of_a_large_image_looks_at_a_part_of_it():
    image = np.broadcast_to(np.uint8(7), (2**13, 2**12 + 1))  # more than 2**24 pixels
    seen = []

    class Large:
        shape = image.shape

        def __getitem__(self, place):
            seen.append(image[place].shape)
            return image[place]

    assert images.level(Large()) == 7
    assert seen == [(2**12, 2**11 + 1)]


@pytest.mark.parametrize(
    ("value", "scale", "found"),
    [(3000, 3000.0, None), (1000, 3000.0, None), (999, 3000.0, "gray values reach 999, the network expects about 3000"),
     (12000, 3000.0, None), (12001, 3000.0, "gray values reach 12001"), (0, 3000.0, "all gray values are 0")],
)  # fmt: skip
def test_integers_far_off(value, scale, found):
    problem = images.problem(np.full((4, 4), value, np.uint16), scale)
    assert problem is None if found is None else problem.startswith(found)


@pytest.mark.parametrize(
    ("value", "good"), [(150, True), (130, True), (129, False), (75, False), (240, True), (241, False)]
)
def test_what_is_bright_is_measured_from_the_offset(value, good):
    """A network of low contrast is lost a few percent off: at half the brightness, but at four fifths too."""
    problem = images.problem(np.full((4, 4), value, np.uint8), 30.0, 120.0)
    assert (problem is None) == good
    assert good or f"reach {value}, the network expects about 150; use images as bright" in problem
    assert images.problem(np.full((4, 4), 1, np.float32), 30.0, 120.0) is None


@pytest.mark.parametrize(("value", "good"), [(1.0, True), (0.34, True), (0.33, False), (4.0, True), (255.0, False)])
def test_floats_are_compared_with_one(value, good):
    problem = images.problem(np.full((4, 4), value, np.float32), 3000.0)
    assert (problem is None) == good
    assert good or "expects about 1; floats are not scaled, so divide them" in problem
