"""Labelled pictures: lists, archives, arrays, and what happens to pixels on the way."""

from __future__ import annotations

import dataclasses
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from workbench.data import IMAGENET, LabelledData, Preprocessing
from workbench.errors import DataError

RED, GREEN = (200, 10, 30), (10, 180, 60)


def write(path, colour=RED, size=(32, 24), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = options.pop("mode", "RGB")
    Image.new(mode, size, colour).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "val" / "b c.png", GREEN)
    (tmp_path / "val_list.txt").write_text("a.png 3\nval/b c.png 0\n")
    return tmp_path


def listed(folder, text, **options):
    (folder / "val_list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return LabelledData.from_folder(folder, **{"size": None, "crop": None, **options})


class TestList:
    def test_paths_with_spaces_and_labels(self, folder):
        data = LabelledData.from_folder(folder, size=None, crop=(24, 32), scale=1, mean=0, std=1)
        ((images, labels),) = data.batches(8)
        assert labels.tolist() == [3, 0]
        assert labels.dtype == np.int64
        assert images.shape == (2, 3, 24, 32)
        assert images.dtype == np.float32
        assert images[:, :, 5, 5].tolist() == [list(map(float, RED)), list(map(float, GREEN))]

    @pytest.mark.parametrize(
        "text",
        [
            b"\xef\xbb\xbfa.png 3\r\n\r\n# a comment 9\r\nval/b c.png 0\r\n",
            b"a.png\t3\n  \n\t# comment\nval/b c.png   0",
            b"a.png 3\rval/b c.png 0\r",
            b"   a.png 3  \n./val/../val/b c.png 0\n",
        ],
        ids=["bom-crlf-comment", "tabs-no-last-newline", "old-mac", "spaces-and-inner-dots"],
    )
    def test_ways_to_write_the_same_list(self, folder, text):
        assert listed(folder, text).labels.tolist() == [3, 0]

    @pytest.mark.parametrize("name", ["val/b\u2028c.png", "val/b\x0cc.png", "val/ä 1.png"])
    def test_odd_characters_in_names(self, folder, name):
        write(folder / name)
        data = listed(folder, f"{name} 5\n")
        assert data.labels.tolist() == [5]
        assert len(list(data.batches(1))) == 1

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("b.png", ["has no label", "`path label`"]),
            ("a.png three", ["label three"]),
            ("a.png -1", ["label -1"]),
            ("a.png 1.0", ["label 1.0"]),
            ("a.png 99999999999999999999", ["99999999999999999999"]),
            ("a.png ٣", ["no whole number"]),
            ("missing.png 1", ["no file", "missing.png"]),
            ("val 1", ["no file"]),
            ("../out.png 1", ["leads out"]),
            ("val/../../out.png 1", ["leads out"]),
            ("/etc/hostname 1", ["leads out", "/etc/hostname"]),
            ("a\0.png 1", ["leads out"]),
        ],
    )
    def test_a_wrong_line_is_named(self, folder, line, words):
        write(folder.parent / "out.png")
        with pytest.raises(DataError) as caught:
            listed(folder, f"a.png 3\n\n{line}\n")
        for word in [*words, "val_list.txt, line 3"]:
            assert word in str(caught.value)

    def test_an_absolute_path_is_refused_even_inside(self, folder):
        with pytest.raises(DataError, match="leads out"):
            listed(folder, f"{folder / 'a.png'} 1\n")

    def test_a_link_out_of_the_folder_is_refused(self, folder, tmp_path_factory):
        write(tmp_path_factory.mktemp("elsewhere") / "x.png")
        target = next(tmp_path_factory.getbasetemp().glob("elsewhere*")) / "x.png"
        (folder / "link.png").symlink_to(target)
        with pytest.raises(DataError, match="symbolic link"):
            listed(folder, "link.png 1\n")

    def test_a_link_to_the_folder_itself_is_fine(self, folder):
        link = folder.parent / "linked"
        link.symlink_to(folder)
        assert LabelledData.from_folder(link).labels.tolist() == [3, 0]

    def test_a_name_with_control_characters_is_escaped(self, folder):
        with pytest.raises(DataError) as caught:
            listed(folder, "\x1b[31mred.png 1\n")
        assert "\x1b" not in str(caught.value)
        assert "\\x1b[31mred.png" in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "words"),
        [(b"", "names no pictures"), (b"# only\n\n", "names no pictures"), (b"a\xff 1", "UTF-8")],
    )
    def test_a_list_of_nothing(self, folder, text, words):
        with pytest.raises(DataError, match=words):
            listed(folder, text)

    def test_no_list_and_no_folder(self, tmp_path):
        with pytest.raises(DataError, match=r"val_list\.txt.*list_file="):
            LabelledData.from_folder(tmp_path)
        with pytest.raises(DataError, match="is no folder"):
            LabelledData.from_folder(tmp_path / "nowhere")

    def test_another_list(self, folder):
        (folder / "train.txt").write_text("a.png 7\n")
        assert LabelledData.from_folder(folder, "train.txt").labels.tolist() == [7]
        assert LabelledData.from_folder(folder, folder / "train.txt").labels.tolist() == [7]

    def test_files_are_decoded_only_when_their_batch_comes(self, folder):
        (folder / "broken.png").write_bytes(b"not a picture")
        data = listed(folder, "a.png 1\nbroken.png 2\n")
        batches = data.batches(1)
        assert next(batches)[1].tolist() == [1]
        with pytest.raises(DataError, match=r"line 2: .*broken\.png: cannot be read as a picture"):
            next(batches)


class TestPictures:
    @pytest.mark.parametrize("damage", ["truncated", "empty", "sixteen bit"])
    def test_what_cannot_be_decoded(self, folder, damage):
        path = folder / "x.png"
        if damage == "sixteen bit":
            Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(path)
        else:
            noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(noise).save(path)
            path.write_bytes(path.read_bytes()[: 500 if damage == "truncated" else 0])
        with pytest.raises(DataError, match=r"line 1: .*x\.png.*8-bit JPEG or PNG"):
            next(listed(folder, "x.png 0\n").batches(1))

    def test_a_file_that_went_away(self, folder):
        data = listed(folder, "a.png 0\n")
        (folder / "a.png").unlink()
        with pytest.raises(DataError, match="line 1"):
            next(data.batches(1))
        with pytest.raises(DataError, match="restore the file"):
            _ = data.digest

    def test_a_decompression_bomb_is_no_warning(self, folder, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
        with pytest.raises(DataError, match="a picture"):
            next(listed(folder, "a.png 0\n").batches(1))

    @pytest.mark.parametrize(
        ("mode", "colour", "expected"),
        [("L", 77, (77, 77, 77)), ("RGBA", (*RED, 128), RED), ("1", 1, (255, 255, 255))],
    )
    def test_modes(self, folder, mode, colour, expected):
        write(folder / "m.png", colour, mode=mode)
        images, _ = next(listed(folder, "m.png 0\n", scale=1, mean=0, std=1).batches(1))
        assert images[0, :, 0, 0].tolist() == list(expected)

    def test_a_palette_picture(self, folder):
        Image.new("RGB", (4, 4), RED).quantize(4).save(folder / "p.png")
        images, _ = next(listed(folder, "p.png 0\n", scale=1, mean=0, std=1).batches(1))
        assert images[0, :, 0, 0].tolist() == list(RED)

    def test_jpeg(self, folder):
        write(folder / "j.jpg", quality=95)
        images, _ = next(listed(folder, "j.jpg 0\n", scale=1, mean=0, std=1).batches(1))
        assert np.abs(images[0, :, 3, 3] - RED).max() <= 3

    def test_shapes_that_differ_name_the_picture(self, folder):
        write(folder / "d.png", size=(10, 10))
        with pytest.raises(DataError, match=r"line 2: .*d\.png.*set size and crop"):
            next(listed(folder, "a.png 0\nd.png 1\n").batches(2))

    def test_a_crop_larger_than_the_picture_names_it(self, folder):
        with pytest.raises(DataError, match=r"a\.png: a picture of 24 x 32 .*28 x 28"):
            next(listed(folder, "a.png 0\n", crop=28).batches(1))


class TestPreprocessing:
    def test_imagenet_by_hand(self):
        pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
        resized = np.asarray(Image.fromarray(pixels).resize((341, 256), Image.Resampling.BILINEAR))
        expected = resized[16:240, 58:282] / 255
        expected = (expected - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        found = IMAGENET(pixels)
        assert found.shape == (3, 224, 224)
        np.testing.assert_allclose(found, expected.transpose(2, 0, 1), atol=1e-5)

    def test_channel_order_swaps_before_mean(self):
        pixels = np.array([[RED]], np.uint8)
        steps = Preprocessing(channels="BGR", mean=(1, 2, 3), std=(1, 2, 4), layout="NHWC")
        assert steps(pixels).tolist() == [[[29.0, 4.0, 49.25]]]

    def test_grey(self):
        steps = Preprocessing(channels="L", scale=1 / 255)
        luma = round(0.299 * 200 + 0.587 * 10 + 0.114 * 30)
        assert steps(np.array([[RED]], np.uint8)).ravel() == pytest.approx([luma / 255])
        assert steps(np.full((2, 2, 1), 51, np.uint8)).ravel() == pytest.approx([0.2] * 4)

    def test_grey_to_colour_repeats(self):
        assert Preprocessing()(np.full((1, 1, 1), 9, np.uint8)).ravel().tolist() == [9, 9, 9]

    def test_integer_types_round_and_clip(self):
        steps = Preprocessing(channels="L", dtype="int8", scale=1.5, mean=128)
        pixels = np.array([[[0], [100], [255]]], np.uint8)
        assert steps(pixels).ravel().tolist() == [-128, 22, 127]

    @pytest.mark.parametrize(("height", "width"), [(300, 200), (200, 300), (256, 256), (9, 1000)])
    def test_the_short_side_is_resized(self, height, width):
        found = Preprocessing(size=64)(np.zeros((height, width, 3), np.uint8)).shape
        assert min(found[1:]) == 64
        assert max(found[1:]) == 64 * max(height, width) // min(height, width)

    def test_only_bytes_are_resized(self):
        with pytest.raises(DataError, match="float32 cannot be resized"):
            Preprocessing(size=4)(np.zeros((8, 8, 3), np.float32))

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("size", 0), ("size", 2.5), ("size", True), ("crop", 0), ("crop", (3, -1)),
            ("crop", (1, 2, 3)),
            ("channels", "RBG"), ("channels", []), ("layout", "CHW"), ("std", 0),
            ("std", (1, 0, 1)), ("mean", (1, 2)), ("mean", float("nan")),
            ("scale", float("inf")), ("dtype", "bool"),
        ],
    )  # fmt: skip
    def test_a_wrong_field_is_named(self, field, value):
        with pytest.raises(ValueError, match=field):
            Preprocessing(**{field: value})

    def test_it_is_a_value(self):
        assert Preprocessing(mean=[1, 2, 3]) == Preprocessing(mean=(1.0, 2.0, 3.0))
        assert Preprocessing(crop=[7, 7], scale=np.float64(2)) == Preprocessing(crop=7, scale=2)
        assert repr(Preprocessing(dtype=np.float16)) == repr(Preprocessing(dtype="float16"))
        assert hash(IMAGENET) == hash(dataclasses.replace(IMAGENET))
        with pytest.raises(TypeError):
            IMAGENET.but({"sise": 3})


class TestArrays:
    def test_tensors_pass_unchanged(self):
        x = np.random.default_rng(0).standard_normal((5, 3, 4, 6)).astype(np.float32)
        data = LabelledData.from_arrays(x, [0, 1, 2, 3, 4])
        batches = list(data.batches(2))
        assert [len(labels) for _, labels in batches] == [2, 2, 1]
        assert np.array_equal(np.concatenate([images for images, _ in batches]), x)
        assert [len(labels) for _, labels in data.batches(2, drop_last=True)] == [2, 2]
        assert len(data) == 5
        assert data.classes == 5

    def test_a_batch_belongs_to_the_caller(self):
        x = np.zeros((2, 1, 2, 2), np.float32)
        data = LabelledData.from_arrays(x, [1, 0])
        images, labels = next(data.batches(2))
        images += 1
        labels += 1
        assert x.sum() == 0
        assert data.labels.tolist() == [1, 0]

    def test_layouts(self):
        x = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), np.uint8)
        swapped, _ = next(LabelledData.from_arrays(x, [0, 1], stored="NHWC").batches(2))
        assert np.array_equal(swapped, x.transpose(0, 3, 1, 2))
        kept, _ = next(LabelledData.from_arrays(x, [0, 1], layout="NHWC").batches(2))
        assert np.array_equal(kept, x)

    def test_grey_arrays_of_three_axes(self):
        data = LabelledData.from_arrays(np.full((2, 4, 4), 51, np.uint8), [0, 1], scale=1 / 255)
        images, _ = next(data.batches(2))
        assert images.shape == (2, 1, 4, 4)
        assert images == pytest.approx(0.2)

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            ([0], "2 pictures but 1 labels"),
            ([0, -2], "label -2 of picture 1 is below 0"),
            ([0.0, 1.0], "float64"),
            ([[0], [1]], r"shape \(2, 1\)"),
            (["a", "b"], "whole numbers"),
            ([True, False], "bool"),
        ],
    )
    def test_labels_that_do_not_fit(self, labels, words):
        with pytest.raises(DataError, match=words):
            LabelledData.from_arrays(np.zeros((2, 1, 2, 2)), labels)

    @pytest.mark.parametrize(
        "images", [np.zeros((2, 4)), np.zeros((2, 4, 4, 3)), np.zeros((2, 3, 4, 4), "U1")]
    )
    def test_pictures_that_do_not_fit(self, images):
        with pytest.raises(DataError, match="pictures"):
            LabelledData.from_arrays(images, [0, 1])

    def test_labels_cannot_be_changed(self):
        mine = np.array([1, 2])
        data = LabelledData.from_arrays(np.zeros((2, 1, 2, 2)), mine)
        with pytest.raises(ValueError, match="read-only"):
            data.labels[0] = 5
        mine[0] = 9
        assert data.labels.tolist() == [1, 2]

    @pytest.mark.parametrize("size", [0, -1])
    def test_sizes_below_one(self, size):
        data = LabelledData.from_arrays(np.zeros((2, 1, 2, 2)), [0, 1])
        with pytest.raises(ValueError, match="batch size"):
            data.batches(size)
        with pytest.raises(ValueError, match="count"):
            data.head(size)


class TestHeadAndDigest:
    def test_head(self, folder):
        for data in (
            LabelledData.from_folder(folder, size=None, crop=8),
            LabelledData.from_arrays(np.arange(8.0).reshape(2, 1, 2, 2), [3, 0]),
        ):
            head = data.head(1)
            assert len(head) == len(head.labels) == 1
            assert np.array_equal(next(head.batches(4))[0], next(data.batches(1))[0])
            assert len(data.head(99)) == 2
            assert data.head(99).digest == data.digest != head.digest

    def test_digest_is_of_content_not_of_names(self, folder):
        before = listed(folder, "a.png 3\nval/b c.png 0\n").digest
        (folder / "a.png").rename(folder / "other.png")
        assert listed(folder, "other.png 3\nval/b c.png 0\n").digest == before

    def test_what_changes_the_digest(self, folder):
        texts = ("a.png 3\nval/b c.png 0\n", "a.png 3\nval/b c.png 1\n", "val/b c.png 0\na.png 3\n")
        digests = {listed(folder, text).digest for text in texts}
        digests.add(listed(folder, texts[0], crop=8).digest)
        write(folder / "a.png", GREEN)
        digests.add(listed(folder, texts[0]).digest)
        assert len(digests) == 5

    def test_digest_of_arrays(self):
        x = np.arange(8.0).reshape(2, 1, 2, 2)
        digest = LabelledData.from_arrays(x, [0, 1]).digest
        assert LabelledData.from_arrays(x.copy(order="F"), [0, 1], name="other").digest == digest
        assert LabelledData.from_arrays(x + 1, [0, 1]).digest != digest
        assert LabelledData.from_arrays(x.astype(np.float32), [0, 1]).digest != digest


class TestArchives:
    def test_names_by_option(self, tmp_path):
        x = np.random.default_rng(0).integers(0, 256, (3, 1, 4, 4), np.uint8)
        np.savez(tmp_path / "d.npz", x_test=x, y_test=np.array([2, 0, 1], np.uint8))
        data = LabelledData.from_npz(
            tmp_path / "d.npz", images="x_test", labels="y_test", scale=0.5
        )
        images, labels = next(data.batches(3))
        assert np.array_equal(images, x * np.float32(0.5))
        assert labels.tolist() == [2, 0, 1]

    def test_a_missing_array_lists_what_there_is(self, tmp_path):
        np.savez(tmp_path / "d.npz", pictures=np.zeros(1), labels=np.zeros(1))
        with pytest.raises(DataError, match=r"holds pictures, labels but not images.*images="):
            LabelledData.from_npz(tmp_path / "d.npz")

    def test_pickled_objects_never_run(self, tmp_path):
        class Bomb:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "boom"),)

        bombs = np.array([Bomb(), Bomb()], object)
        np.savez(tmp_path / "d.npz", images=bombs, labels=np.array([0, 1]))
        (tmp_path / "raw.npz").write_bytes(pickle.dumps(Bomb()))
        for name in ("d.npz", "raw.npz"):
            with pytest.raises(DataError, match="no archive of plain arrays"):
                LabelledData.from_npz(tmp_path / name)
        assert not (tmp_path / "boom").exists()

    @pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "npy", "text"])
    def test_damaged_files(self, tmp_path, damage):
        path = tmp_path / "d.npz"
        x = np.random.default_rng(0).integers(0, 256, (50, 1, 8, 8), np.uint8)
        np.savez_compressed(path, images=x, labels=np.zeros(50, np.int64))
        data = bytearray(path.read_bytes())
        if damage == "npy":
            with path.open("wb") as file:
                np.save(file, np.zeros(3))
        else:
            data[200] ^= 255
            cut = {"cut": data[:900], "flipped": data, "empty": b"", "text": b"hello there"}
            path.write_bytes(cut[damage])
        with pytest.raises(DataError, match=r"d\.npz.*(savez_compressed|check)"):
            LabelledData.from_npz(path)

    def test_no_file(self, tmp_path):
        with pytest.raises(DataError, match=r"none\.npz.*check the path"):
            LabelledData.from_npz(tmp_path / "none.npz")


def test_a_repr_is_counts_only():
    found = LabelledData.from_arrays(np.zeros((3, 4, 4)), [0, 4, 1], name="grey")
    assert repr(found) == "LabelledData(grey: 3 pictures, classes: 5)"
