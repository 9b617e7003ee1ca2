"""Folders of images as people have them: what becomes of each file, or a line that says what was expected."""

from __future__ import annotations

import csv
import io
import os
import tracemalloc
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from harness.data import contents, inventory
from harness.data.finish import UNREADABLE
from harness.data.prepare import prepare
from harness.data.prepared import open_prepared
from harness.data.sources.folder_parts import Parts
from harness.data.sources.imagefolder import open_imagefolder
from harness.data.sources.imagenet import open_imagenet
from harness.data.sources.part_names import part_of
from harness.data.sources.source import Skip
from harness.data.sources.tree import NO_IMAGE, survey
from harness.errors import CannotMeasure, UsageError


def _jpeg() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


JPEG = _jpeg()
PETS = ("cats", "dogs")


def fill(folder: Path, count: int, ending: str = "jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.{ending}").write_bytes(JPEG)


def pets(root: Path, **counts: int) -> Path:
    """Cats and dogs in each of these folders, or in the root itself."""
    for part, count in (counts or {".": 8}).items():
        for name in PETS:
            fill(root / part / name, count)
    return root


class Read(NamedTuple):
    """Everything that a source says of its folder."""

    classes: tuple[str, ...]
    images: Mapping[str, Counter[str]]  # of each part, by the classes' names
    names: Mapping[str, set[str]]
    left_out: list[Skip]
    notes: str

    @property
    def files(self) -> int:
        return sum(counts.total() for counts in self.images.values()) + sum(skip.files for skip in self.left_out)

    def reason(self, name: str) -> str:
        return next(skip.reason for skip in self.left_out if skip.name == name)


def read(root: Path, parts: Parts = ()) -> Read:
    source = open_imagefolder(root, parts)
    images: dict[str, Counter[str]] = {}
    names: dict[str, set[str]] = {}
    left_out = list(source.rest()) if source.rest else []
    for part, listing in source.parts.items():
        images[part], names[part] = Counter(), set()
        for found in listing():
            if isinstance(found, Skip):
                left_out.append(found)
            else:
                images[part][source.classes[found.label]] += 1
                assert found.name not in names[part]
                names[part].add(found.name)
    return Read(source.classes, images, names, left_out, "\n".join(source.notes))


def files_in(root: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(root))


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("training_set", "validation_set", "test_set"),
        ("Train", "Val", "Test"),
        ("TRAINING", "VALID", "TESTING"),
        ("Train_Data", "dev", "Test Images"),
        ("trainset", "valset", "TestSet"),
        ("train2017", "val2017", "test1"),
        ("images-train", "eval", "tests"),
    ],
)
def test_parts_have_any_usual_name_and_case(tmp_path, train, val, test):
    found = read(pets(tmp_path, **{train: 5, val: 2, test: 1}))
    assert found.classes == PETS
    assert found.images == {part: dict.fromkeys(PETS, n) for part, n in (("train", 5), ("val", 2), ("test", 1))}
    assert found.files == files_in(tmp_path) and not found.left_out


@pytest.mark.parametrize("name", ["cats", "latest", "contest", "trainer", "1", "images", "seg_train", "valley", "训练"])
def test_other_names_are_no_parts(name):
    assert part_of(name) is None


def test_without_validation_images_every_fifth_is_held_out_and_it_is_said(tmp_path):
    found = read(pets(tmp_path, training_set=10, test_set=4))
    assert found.images == {part: {"cats": n, "dogs": n} for part, n in (("train", 8), ("val", 2), ("test", 4))}
    assert "every fifth image of a class is held out of train" in found.notes
    assert not found.names["train"] & found.names["val"]


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (("seg_train/seg_train", "seg_test/seg_test"), "--parts train=seg_train/seg_train,test=seg_test/seg_test"),
        (("asl train", "asl val"), "--parts 'train=asl train,val=asl val'"),
        (("a", "b"), r"folders of equal names, such as 'cats'.*--parts train=a,val=b; or --parts train=\. where"),
        (
            ("train/a", "train/b"),
            "train holds 'a', 'b', .*--parts train=train/a,val=train/b; or --parts train=train ",
        ),
        (("val", "test"), "'test', 'val', called as parts are.*--parts val=val,test=test"),
        (("train", "training_set"), "both called as the part train: name one, --parts train=train"),
        (("train", "my_val_split"), "'my_val_split' is called as no part: --parts train=train,val=my_val_split"),
        (
            ("train", "val", "train_more"),
            "no part: --parts train=train,val=val,test=train_more names it, --parts train",
        ),
        (("train", "val", "test", "train_more"), "is called as no part: --parts train=train,val=val,test=test leaves"),
        (("train", "val", "validation"), "both called as the part val: name one, --parts train=train,val=val"),
        (("a/images", "b/images"), r"folders of equal names, such as 'cats'.*--parts train=a/images,val=b/images; or"),
        (("sets", "my-test-set"), "'my-test-set', called as parts are.*--parts train=sets,test=my-test-set;"),
        (("train/images", "val/images"), "folder only, 'images': .*--parts train=train/images,val=val/images where"),
        (("data/train", "data/val"), "in one folder only, 'data'.*say imagefolder:.*/data where these are inside it"),
    ],
)
def test_what_is_a_part_in_doubt_is_refused_with_the_way_to_name_it(tmp_path, folders, words):
    root = pets(tmp_path / "in", **dict.fromkeys(folders, 4))
    with pytest.raises(UsageError, match=words):
        open_imagefolder(root)


@pytest.mark.parametrize("names", [("annotations/trimaps", "images"), ("JPEGImages", "SegmentationClass", "masks")])
@pytest.mark.parametrize("part", [".", "train"])
def test_a_folder_called_images_is_no_class(tmp_path, part, names):
    for name in names:
        fill(tmp_path / part / name, 5)
    with pytest.raises(UsageError, match="mages' says that there are images, not of what class"):
        open_imagefolder(tmp_path)
    assert len(read(tmp_path, (("train", part),)).classes) == len(names)


def test_parts_inside_the_folders_of_classes_are_said_not_to_be_read(tmp_path):
    for name in ("cat/train", "cat/test", "dog/train", "dog/test"):
        fill(tmp_path / name, 5)
    with pytest.raises(UsageError, match="parts inside the folders of classes are not read, move the parts"):
        open_imagefolder(tmp_path)


def test_one_class_alone_keeps_the_other_parts_in_what_is_proposed(tmp_path):
    for part in ("train", "val"):
        fill(tmp_path / part / "cats", 5)
    with pytest.raises(UsageError, match="or --parts train=train,val=val where the folders of train are the classes"):
        open_imagefolder(tmp_path)


def test_the_largest_folder_is_proposed_for_training_where_no_name_tells(tmp_path):
    pets(tmp_path, Testdaten=2, Trainingsdaten=6)
    with pytest.raises(UsageError, match="--parts train=Trainingsdaten,val=Testdaten;"):
        open_imagefolder(tmp_path)


def test_folders_of_equal_names_are_seen_beside_a_stray_image_and_a_stray_folder(tmp_path):
    pets(tmp_path, a=4, b=4)
    fill(tmp_path / "a", 1)
    fill(tmp_path / "logos", 3)
    with pytest.raises(UsageError, match=r"holds 'a', 'b', whose images lie in folders of equal names"):
        open_imagefolder(tmp_path)
    assert read(tmp_path, (("train", "."),)).classes == ("a", "b", "logos")


def test_classes_may_hold_folders_of_their_own(tmp_path):
    for name in ("animals/cat", "animals/dog", "vehicles/car", "vehicles/bus"):
        fill(tmp_path / name, 4)
    found = read(tmp_path)
    assert found.classes == ("animals", "vehicles")
    assert "folders of a class is of that class, such as 'cat', 'dog' in 'animals'" in found.notes


def test_a_class_called_train_is_asked_about(tmp_path):
    for name in ("bus", "car", "train"):
        fill(tmp_path / name, 5)
    with pytest.raises(UsageError, match=r"'train' and in 'bus', which are classes or parts: say --parts train=\."):
        open_imagefolder(tmp_path)
    found = read(tmp_path, (("train", "."),))
    assert found.classes == ("bus", "car", "train") and found.files == 15


def test_one_class_of_many_that_is_called_somewhat_as_a_part_is_said(tmp_path):
    for name in ("bullet_train", "bus", "car"):
        fill(tmp_path / name, 5)
    found = read(tmp_path)
    assert found.classes == ("bullet_train", "bus", "car") and "'bullet_train' taken for a class" in found.notes


def test_the_user_names_the_parts(tmp_path):
    pets(tmp_path, alpha=6, beta=2, **{"gamma/inner": 1})
    found = read(tmp_path, (("val", "beta"), ("train", "alpha"), ("test", "gamma/inner")))
    assert {part: counts.total() for part, counts in found.images.items()} == {"train": 12, "val": 4, "test": 2}
    without = read(tmp_path, (("train", "alpha"), ("val", "beta")))
    assert without.files == files_in(tmp_path) == 18
    assert without.reason("gamma/inner/cats/0.jpg") == "it lies beside the folders of the classes"
    for wrong in ("nothing", "../" + tmp_path.name, "/etc", "alpha/cats/0.jpg"):
        with pytest.raises(UsageError, match=r"there is no such folder in .*, which holds 'alpha', 'beta', 'gamma'"):
            open_imagefolder(tmp_path, (("train", wrong),))
    with pytest.raises(UsageError, match=r"'beta' for val, which lies in '\.', named for train"):
        open_imagefolder(tmp_path, (("train", "."), ("val", "beta")))


def test_other_folders_for_the_parts_are_another_source(tmp_path):
    pets(tmp_path, alpha=4, beta=4)
    stamps = [
        open_imagefolder(tmp_path, (("train", "alpha"), (part, "beta"))).stamp() for part in ("val", "test", "val")
    ]
    assert stamps[0] == stamps[2] != stamps[1]


def test_hidden_and_system_files_are_skipped_at_every_depth_and_counted(tmp_path):
    pets(tmp_path, train=6)
    places = (
        ".git", "__MACOSX/train/cats", "@eaDir", "train/.ipynb_checkpoints", "train/cats/.ipynb_checkpoints",
        "train/dogs/deep/er/@eaDir", "train/__pycache__", "$RECYCLE.BIN", "train/lost+found",
    )  # fmt: skip
    for place in places:
        fill(tmp_path / place, 2)
    for name in ("train/cats/._0.jpg", "train/Thumbs.db", "train/cats/.hidden.jpg", "desktop.ini", ".DS_Store"):
        (tmp_path / name).write_bytes(JPEG)
    found = read(tmp_path)
    assert found.classes == PETS and sum(counts.total() for counts in found.images.values()) == 12
    assert Counter(skip.reason for skip in found.left_out) == {"hidden, or a system's own": 2 * len(places) + 5}
    assert found.files == files_in(tmp_path) == 35


def test_a_folder_without_images_takes_no_class_number(tmp_path):
    pets(tmp_path)
    (tmp_path / "aardvarks").mkdir()
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds" / "notes.txt").write_text("none seen")
    found = read(tmp_path)
    assert found.classes == PETS and found.files == 17
    assert found.reason("aardvarks/") == "a folder without files: no class"
    assert found.reason("birds/notes.txt") == "its name is not that of an image"


def test_images_without_labels_are_said_and_what_would_give_one(tmp_path):
    pets(tmp_path, train=10)
    fill(tmp_path / "val", 6)
    found = read(tmp_path)
    assert found.files == 26 and found.reason("val/3.jpg") == "its part gives it no label"
    assert "val: val/ holds 6 images without labels" in found.notes and "would give labels" in found.notes
    assert found.images == {"train": {"cats": 8, "dogs": 8}, "val": {"cats": 2, "dogs": 2}}
    fill(tmp_path / "train" / "birds", 10)
    fill(tmp_path / "val" / "cats", 1)
    (tmp_path / "val" / "dogs").mkdir()
    labelled = read(tmp_path)
    assert labelled.images["val"] == {"cats": 1} and labelled.images["train"] == dict.fromkeys(("birds", *PETS), 10)
    assert labelled.files == files_in(tmp_path)


@pytest.mark.parametrize("inside", [".", "test", "images", "unknown", "a/b"])
def test_an_unlabelled_test_set_does_not_block_training(tmp_path, inside):
    root = pets(tmp_path / "in", train=4, val=2)
    fill(root / "test" / inside, 3)
    found = read(root)
    assert set(found.images) == {"train", "val"} and found.files == 15
    assert "/ holds 3 images without labels" in found.notes
    prepared = prepare(open_imagefolder(root), tmp_path / "out", 8, jobs=1, strict=True).prepared
    with pytest.raises(UsageError, match=r"has no part 'test': it has train, val; test: test.*/ holds 3 images"):
        prepared.part("test")


def test_dogs_vs_cats_as_the_competition_has_it(tmp_path):
    (tmp_path / "train").mkdir()
    for name in ("cat", "dog"):
        for number in range(11):
            (tmp_path / "train" / f"{name}.{number}.jpg").write_bytes(JPEG)
    (tmp_path / "train" / "odd.jpg").write_bytes(JPEG)
    fill(tmp_path / "test1", 4)
    (tmp_path / "sampleSubmission.csv").write_text("id,label\n")
    found = read(tmp_path)
    assert found.classes == ("cat", "dog") and found.files == files_in(tmp_path) == 28
    assert found.names["val"] == {f"train/{name}.{n}.jpg" for name in ("cat", "dog") for n in (4, 9)}
    assert found.reason("train/odd.jpg") == "its name is not as cat.0.jpg, those beside it are"
    assert "test: test1/ holds 4 images without labels" in found.notes


def test_validation_images_named_by_their_classes_have_labels(tmp_path):
    pets(tmp_path, train=5)
    for part, names in (("val", PETS), ("test", ("img", "photo"))):
        (tmp_path / part).mkdir()
        for name in names:
            for number in range(3):
                (tmp_path / part / f"{name}.{number}.jpg").write_bytes(JPEG)
    found = read(tmp_path)
    assert found.images["val"] == {"cats": 3, "dogs": 3} and "test" not in found.images
    assert "test: test/ holds 6 images without labels" in found.notes
    (tmp_path / "val" / "birds.0.jpg").write_bytes(JPEG)
    with pytest.raises(UsageError, match="has a class 'birds' that train has not"):
        open_imagefolder(tmp_path)


def tiny_imagenet(root: Path) -> Path:
    """Its layout, with two classes of three images and boxes; the validation images are not in the classes' order."""
    synsets = ("n01443537", "n01629819")
    for synset in synsets:
        fill(root / "train" / synset / "images", 3, "JPEG")
        (root / "train" / synset / f"{synset}_boxes.txt").write_text("0.JPEG\t0\t10\t63\t58\n")
    fill(root / "val" / "images", 5, "JPEG")
    lines = [f"{number}.JPEG\t{synsets[number % 3 != 0]}\t0\t32\t44\t62\n" for number in (4, 0, 2, 1)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    fill(root / "test" / "images", 2, "JPEG")
    (root / "wnids.txt").write_text("n01629819\nn01443537\n")
    (root / "words.txt").write_text("n01443537\tgoldfish, Carassius auratus\n")
    return root


def test_tiny_imagenet_is_read_rightly(tmp_path):
    found = read(tiny_imagenet(tmp_path))
    assert found.classes == ("n01443537", "n01629819")
    assert found.images == {"train": dict.fromkeys(found.classes, 3), "val": {"n01443537": 1, "n01629819": 3}}
    source = open_imagefolder(tmp_path)
    labels = {item.name: item.label for item in source.parts["val"]() if not isinstance(item, Skip)}
    assert labels == {"val/images/0.JPEG": 0, **{f"val/images/{n}.JPEG": 1 for n in (1, 2, 4)}}
    assert found.reason("val/images/3.JPEG") == "val_annotations.txt has no line for it"
    assert "val: its labels are those of val/val_annotations.txt" in found.notes
    assert "test: test/ holds 2 images without labels" in found.notes
    assert found.files == files_in(tmp_path) == 18
    before = source.stamp()
    os.utime(tmp_path / "val" / "val_annotations.txt", (1, 1))
    assert open_imagefolder(tmp_path).stamp() != before


def test_tiny_imagenet_is_not_taken_for_imagenet(tmp_path):
    with pytest.raises(UsageError, match=f"holds val_annotations.txt, as Tiny ImageNet's: say imagefolder:{tmp_path}"):
        open_imagenet(tiny_imagenet(tmp_path))


@pytest.mark.parametrize("line", ["0.JPEG n01443537", "0.JPEG\tn99999999\t0", "\0\xff\n" * 3])
def test_a_list_of_validation_images_that_cannot_be(tmp_path, line):
    tiny_imagenet(tmp_path)
    (tmp_path / "val" / "val_annotations.txt").write_text(line)
    with pytest.raises(UsageError, match=r"line 1 of .*val_annotations\.txt is .*expected a file, a tab and a class"):
        open_imagefolder(tmp_path)


@pytest.mark.parametrize("ending", ["jfif", "jpe", "JPG", "bmp", "webp", "tif", "tiff", "gif", "ppm", "PNG", "jp2"])
def test_images_have_any_ending_that_pillow_has_for_them(tmp_path, ending):
    pets(tmp_path)
    fill(tmp_path / "cats", 3, f"x.{ending}")
    (tmp_path / "cats" / "label.xml").write_text("<annotation/>")
    found = read(tmp_path)
    assert sum(counts["cats"] for counts in found.images.values()) == 11 and found.files == files_in(tmp_path)


def test_flat_names_that_are_parts_are_no_classes(tmp_path):
    for name in ("train", "test"):
        for number in range(9):
            (tmp_path / f"{name}.{number}.png").write_bytes(JPEG)
    with pytest.raises(UsageError, match="expected is a folder of images for each class"):
        open_imagefolder(tmp_path)


@pytest.mark.parametrize("how", ["a run", "prepared data", "among other files", "few", "flat and few", "one class"])
def test_a_folder_that_merely_holds_pictures_is_refused(tmp_path, how):
    for number, name in enumerate(("report", "curves", "figures")):
        fill(tmp_path / name, 1 if how == "few" else 3)
        for file in range(5 if how == "among other files" else 0):
            (tmp_path / name / f"{file}.csv").write_text("step,loss\n")
        if how in ("flat and few", "one class"):
            for path in (*(tmp_path / name).iterdir(), tmp_path / name):
                path.unlink() if path.is_file() else path.rmdir()
        if how == "flat and few":
            for copy in range(2 + number):
                (tmp_path / f"{name}.{copy}.png").write_bytes(JPEG)
    if how == "one class":
        fill(tmp_path / "holiday", 9)
    if how in ("a run", "prepared data"):
        (tmp_path / ("run.json" if how == "a run" else "prepared.json")).write_text("{}")
    with pytest.raises(UsageError, match="expected is a folder of images for each class, such as cat/ and dog/"):
        open_imagefolder(tmp_path)


def test_runs_of_ours_are_no_classes(tmp_path):
    for name in ("first", "second"):
        fill(tmp_path / name, 4)
        (tmp_path / name / "run.json").write_text("{}")
    with pytest.raises(UsageError, match=r"first is a folder of a run, it holds run\.json"):
        open_imagefolder(tmp_path)


def test_links_back_up_the_tree_double_nothing_and_put_no_validation_into_training(tmp_path):
    root = pets(tmp_path / "in", train=5, val=2)
    plain = read(root)
    fill(tmp_path / "elsewhere", 3)
    (root / "train" / "cats" / "up").symlink_to(root)
    (root / "train" / "cats" / "self").symlink_to("self")
    (root / "train" / "dogs" / "above").symlink_to(tmp_path)
    (root / "train" / "dogs" / "whole").symlink_to("/")
    (root / "a_link").symlink_to(root / "train")
    (root / "val" / "cats" / "again").symlink_to("../../train/cats")
    (root / "train" / "cats" / "linked.jpg").symlink_to("../../val/dogs/0.jpg")
    (root / "train" / "cats" / "loop.jpg").symlink_to("loop.jpg")
    found = read(root)
    assert found.images["val"] == plain.images["val"]
    assert found.names["train"] - plain.names["train"] == {"train/cats/loop.jpg"}  # that it is none, its reader says
    assert found.reason("train/cats/linked.jpg") == "a link to an image that is read where it lies"
    assert found.reason("train/cats/up") == found.reason("a_link") == found.reason("val/cats/again")
    assert found.reason("train/dogs/above") == found.reason("train/dogs/whole")
    assert found.reason("train/dogs/above") == "a link back up the tree: not followed"
    assert sum(skip.files for skip in found.left_out) == 2  # linked.jpg, and self, which leads to nothing


def test_a_folder_that_is_linked_twice_is_read_once(tmp_path):
    fill(tmp_path / "store" / "a", 5)
    fill(tmp_path / "store" / "b", 5)
    for part in ("train", "val"):
        (tmp_path / "in" / part).mkdir(parents=True)
        (tmp_path / "in" / part / "cats").symlink_to(tmp_path / "store" / "a")
    (tmp_path / "in" / "train" / "dogs").symlink_to(tmp_path / "store" / "b")
    found = read(tmp_path / "in")
    assert sum(counts.total() for counts in found.images.values()) == 10
    assert found.reason("val/cats") == "a link to a folder that is read where it lies: not followed"


def test_a_part_that_is_a_link_to_another_is_none_and_it_is_said(tmp_path):
    pets(tmp_path, train=5)
    (tmp_path / "val").symlink_to("train")
    found = read(tmp_path)
    assert found.images == {"train": {"cats": 4, "dogs": 4}, "val": {"cats": 1, "dogs": 1}}
    assert not found.names["train"] & found.names["val"]
    assert "val: val/ is a link to a folder that is read where it lies: not followed" in found.notes


def test_a_link_to_a_hidden_store_is_followed(tmp_path):
    pets(tmp_path, train=4)
    fill(tmp_path / ".store" / "x", 5)
    (tmp_path / "train" / "birds").symlink_to("../.store/x")
    found = read(tmp_path)
    assert found.classes == ("birds", *PETS) and found.images["train"]["birds"] == 4
    assert found.files == files_in(tmp_path) == 13


def test_images_linked_from_a_store_beside_the_parts_are_read(tmp_path):
    fill(tmp_path / "all", 10)
    for place, (part, count) in enumerate((("train", 5), ("val", 2))):
        for name in PETS:
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                (tmp_path / part / name / f"{number}.jpg").symlink_to(f"../../all/{number + place}.jpg")
    found = read(tmp_path)
    assert found.images == {"train": {"cats": 5, "dogs": 5}, "val": {"cats": 2, "dogs": 2}}
    assert found.files == 24 and found.reason("all/0.jpg") == "it lies beside the folders of the classes"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("1", "2", "10"), "in the order of their names as text, as by torchvision: 0 is '1', 1 is '10', 2 is '2'"),
        (("0", "1", "2"), "0 is '0', 1 is '1', 2 is '2'"),
        (("class9", "class10"), "0 is 'class10', 1 is 'class9'"),
        (tuple(map(str, range(20))), ", 11 is '19' and so on to 19, '9'"),
    ],
)
def test_the_order_of_classes_named_by_numbers_is_said(tmp_path, names, words):
    for name in names:
        fill(tmp_path / name, 2)
    found = read(tmp_path)
    assert found.classes == tuple(sorted(names)) and words in found.notes


def test_names_that_are_no_text_and_names_that_move_a_terminal(tmp_path):
    root = pets(tmp_path / "in")
    fill(Path(os.fsdecode(os.fsencode(root) + b"/b\xff")), 5)
    fill(root / "\x1b[2Jred", 5)
    prepared = prepare(open_imagefolder(root), tmp_path / "out", 8, jobs=1).prepared
    assert prepared.classes == ("\x1b[2Jred", "b\\udcff", *PETS)
    said = "\n".join(contents.lines(prepared))
    assert "\\x1b[2Jred (4 train, 1 val)" in said and "\x1b" not in said
    said.encode()


def test_pipes_and_folders_named_as_images(tmp_path):
    root = pets(tmp_path / "in", train=5, val=2)
    os.mkfifo(root / "train" / "cats" / "pipe.jpg")
    (root / "train" / "cats" / "null.jpg").symlink_to("/dev/zero")
    fill(root / "train" / "dogs" / "folder.jpg", 1)
    outcome = prepare(open_imagefolder(root), tmp_path / "out", 8, jobs=1)
    assert sum(map(len, outcome.prepared.parts.values())) == 15 and outcome.skipped == 2


def test_a_deeply_nested_folder_is_read_or_refused_in_a_line(tmp_path):
    root = pets(tmp_path / "in")
    before = Path.cwd()
    try:
        os.chdir(root / "cats")
        for _ in range(60):
            Path("d" * 90).mkdir()
            os.chdir("d" * 90)
    finally:
        os.chdir(before)
    with pytest.raises(CannotMeasure, match="File name too long"):
        open_imagefolder(root)


def test_a_folder_of_many_names_costs_little_memory(tmp_path):
    fill(tmp_path / "cats", 2)
    fill(tmp_path / "dogs", 1)
    for number in range(5_000):
        os.link(tmp_path / "dogs" / "0.jpg", tmp_path / "dogs" / f"{number + 1}.jpg")
    source = open_imagefolder(tmp_path)
    tracemalloc.start()
    try:
        count = sum(1 for part in source.parts.values() for _ in part())
        assert survey(tmp_path).top.count("images") == count == 5_003
        assert tracemalloc.get_traced_memory()[1] < 250 * 5_000  # bytes: of names alone, not of items
    finally:
        tracemalloc.stop()


def test_what_is_left_out_is_listed_up_to_a_bound_and_counted_beyond(tmp_path, monkeypatch):
    monkeypatch.setattr(inventory, "MOST_LISTED", 3)
    root = pets(tmp_path / "in")
    for number in range(8):
        (root / "cats" / f"{number}.txt").write_text("a note")
    (root / "README.md").write_text("pets")
    outcome = prepare(open_imagefolder(root), tmp_path / "out", 8, jobs=1)
    with (tmp_path / "out" / "skipped.csv").open(newline="") as file:
        listed = [(row["part"], row["name"], row["files"]) for row in csv.DictReader(file)]
    assert listed == [
        *(("train", f"cats/{n}.txt", "1") for n in range(3)), ("train", "and more", "5"), ("rest", "README.md", "1"),
    ]  # fmt: skip
    assert outcome.skipped == 9 and sum(map(len, outcome.prepared.parts.values())) + 9 == files_in(root)


def test_what_prepared_data_hold_is_said(tmp_path):
    root = pets(tmp_path / "in", Train=5, Val=2)
    (root / "Train" / "cats" / "bad.jpg").write_bytes(b"no image")
    (root / "Train" / "cats" / "note.txt").write_text("a note")
    prepare(open_imagefolder(root), tmp_path / "out", 8, jobs=1)
    assert contents.lines(open_prepared(tmp_path / "out")) == [
        "imagefolder:in: train 10 images of Train/, val 4 images of Val/; 2 classes",
        "classes: cats (5 train, 2 val), dogs (5 train, 2 val)",
        f"left out: 2, listed in {tmp_path / 'out' / 'skipped.csv'}",
        f"files found: 16 = 14 images + 2 left out (1: {NO_IMAGE}; 1: {UNREADABLE})",
    ]


def test_many_classes_are_said_by_the_fewest_and_the_most_images(tmp_path):
    for number in range(25):
        fill(tmp_path / "in" / f"c{number:02d}", 2 + number % 3)
    prepared = prepare(open_imagefolder(tmp_path / "in"), tmp_path / "out", 8, jobs=1).prepared
    assert contents.lines(prepared)[1].endswith("c19 (3 train), and 5 more; a class has 2 to 4 train")


def test_only_images_that_cannot_be_used_are_too_many_for_strict(tmp_path):
    root = pets(tmp_path / "in")
    (root / "README.md").write_text("pets")
    (root / "cats" / "Thumbs.db").write_bytes(b"x")
    assert prepare(open_imagefolder(root), tmp_path / "out", 8, jobs=1, strict=True).skipped == 2
    (root / "cats" / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(CannotMeasure, match="cannot be used: 1, and --strict allows none"):
        prepare(open_imagefolder(root), tmp_path / "strict", 8, jobs=1, strict=True)
