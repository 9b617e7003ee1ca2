"""Data that are broken, false or hostile: one clear line, or a skip that is counted."""

from __future__ import annotations

import csv
import gzip
import io
import os
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import made_sources as made
import numpy as np
import pytest

from harness.data.prepare import Outcome, prepare
from harness.data.prepared import is_prepared, open_prepared
from harness.data.sources import devkit
from harness.data.sources.opening import open_source
from harness.errors import CannotMeasure, UsageError


def prepared(text: str, out: Path) -> Outcome:
    return prepare(open_source(text), out, 32, jobs=1)


def left_out(out: Path) -> dict[str, str]:
    with (out / "skipped.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: row["reason"] for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("digit", "unknown source of data 'digit': did you mean 'digits'"),
        ("imagefolder", "lacks its path: imagefolder:PATH"),
        ("imagefolder:", "lacks its path"),
        ("imagefolder:/nowhere/at/all", "cannot read 'imagefolder:/nowhere/at/all': No such file"),
        ("mnist:/dev/null", "is no folder"),
    ],
)
def test_a_source_that_cannot_be(text, message):
    with pytest.raises(UsageError, match=message):
        open_source(text)


def test_an_empty_folder_is_listed_and_is_no_class(tmp_path):
    root = made.image_folder(tmp_path / "in")
    (root / "bird").mkdir()
    assert prepared(f"imagefolder:{root}", tmp_path / "out").skipped == 0  # files
    assert left_out(tmp_path / "out") == {"bird/": "a folder without files: no class"}
    assert open_prepared(tmp_path / "out").classes == ("cat", "dog")


def test_folders_without_any_image(tmp_path):
    (tmp_path / "in" / "cat").mkdir(parents=True)
    with pytest.raises(UsageError, match="in holds no folders of classes with images: expected is a folder of images"):
        prepared(f"imagefolder:{tmp_path}/in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_class_that_training_does_not_know(tmp_path):
    made.image_folder(tmp_path / "in" / "train", ("cat", "dog"))
    made.image_folder(tmp_path / "in" / "val", ("cat", "wolf"))
    with pytest.raises(UsageError, match=r"has a class 'wolf' that .*train has not"):
        open_source(f"imagefolder:{tmp_path}/in")


def test_broken_images_of_all_sorts_are_counted(tmp_path):
    root = made.image_folder(tmp_path / "in", count=6)
    cat = root / "cat"
    (cat / "a.jpg").write_text("plain text")
    (cat / "b.jpg").write_bytes(b"")
    (cat / "c.jpg").write_bytes(made.jpeg(1)[:700])
    (cat / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    os.mkfifo(cat / "e.jpg")
    (cat / "f.jpg").symlink_to("nothing.jpg")
    (cat / "g.txt").write_text("a note that is no image")
    outcome = prepared(f"imagefolder:{root}", tmp_path / "out")
    assert set(left_out(tmp_path / "out")) == {
        f"cat/{name}" for name in ("a.jpg", "b.jpg", "c.jpg", "d.png", "e.jpg", "f.jpg", "g.txt")
    }
    assert outcome.skipped == 7 and sum(map(len, outcome.prepared.parts.values())) == 12


def test_names_that_are_no_text_are_kept_apart(tmp_path):
    root = made.image_folder(tmp_path / "in", count=2)
    Path(os.fsdecode(os.fsencode(root / "cat") + b"/b\xff\n.jpg")).write_bytes(made.jpeg(9))
    Path(os.fsdecode(os.fsencode(root / "cat") + b'/c\xfe,".jpg')).write_text("no image")
    outcome = prepared(f"imagefolder:{root}", tmp_path / "out")
    assert "cat/b\\udcff\n.jpg" in outcome.prepared.part("train").names()
    assert list(left_out(tmp_path / "out")) == ['cat/c\\udcfe,".jpg']


def test_a_part_of_which_nothing_can_be_read(tmp_path):
    for part in ("train", "val"):
        made.image_folder(tmp_path / "in" / part, count=2)
    for file in (tmp_path / "in" / "val").rglob("*.jpg"):
        file.write_text("no image")
    outcome = prepared(f"imagefolder:{tmp_path}/in", tmp_path / "out")
    assert set(outcome.prepared.parts) == {"train"} and outcome.skipped == 4
    for file in (tmp_path / "in" / "train").rglob("*.jpg"):
        file.write_text("no image")
    with pytest.raises(CannotMeasure, match=r"none of the 4 images of train can be used: .*skipped\.csv says why"):
        prepared(f"imagefolder:{tmp_path}/in", tmp_path / "other")


def imagenet(root: Path, labels=(1, 2)) -> Path:
    made.write_kit(root, labels)
    made.write_val(root, 2, "tar")
    return root


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((1, 4), "gives image 2 the label '4': expected 1 to 3"),
        ((0, 1), "gives image 1 the label '0'"),
        ((1,), "ILSVRC2012_val_00000002.JPEG .* has no label: the ground truth has 1 lines"),
    ],
)
def test_a_label_out_of_range(tmp_path, labels, message):
    root = imagenet(tmp_path / "in", labels)
    with pytest.raises(UsageError, match=message):
        prepared(f"imagenet:{root}", tmp_path / "out")


def test_validation_images_without_a_kit(tmp_path):
    made.write_val(tmp_path / "in", 2, "folder")
    with pytest.raises(UsageError, match="gives no labels by itself for the part val: put the development kit"):
        open_source(f"imagenet:{tmp_path}/in")


def test_a_synset_that_is_no_class(tmp_path):
    root = imagenet(tmp_path / "in")
    made.write_images(root / "train" / "n99999999", 1)
    with pytest.raises(UsageError, match="holds images of 'n99999999', no class of the development kit"):
        prepared(f"imagenet:{root}", tmp_path / "out")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
def test_a_truncated_tar(tmp_path, share):
    root = imagenet(tmp_path / "in")
    path = root / "ILSVRC2012_img_val.tar"
    data = path.read_bytes()
    data = data[: data.rindex(b"JPEG") + 100_000].rstrip(b"\0")
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UsageError, match=r"ILSVRC2012_img_val.tar in .*(whole tar|truncated).*: download it again"):
        prepared(f"imagenet:{root}", tmp_path / "out")


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_a_truncated_tar_inside_a_tar_does_not_run_into_the_next(tmp_path, blocks):
    root = imagenet(tmp_path / "in")
    inner = {f"{synset}.tar": made.tar(files) for synset, files in made.train_files().items()}
    name = next(iter(inner))
    inner[name] = inner[name].rstrip(b"\0")[: -512 * blocks]
    inner[name] = inner[name][: len(inner[name]) // 512 * 512]
    (root / "ILSVRC2012_img_train.tar").write_bytes(made.tar(inner))
    with pytest.raises(UsageError, match=rf"{name} in .*: download it again"):
        prepared(f"imagenet:{root}", tmp_path / "out")


@pytest.mark.parametrize(
    "data",
    [b"", b"no tar" * 500, gzip.compress(made.tar({"a.JPEG": b"x"})), bytes(300)],
    ids=["nothing", "text", "gzipped", "a block cut short"],
)
def test_what_is_no_tar(tmp_path, data):
    root = imagenet(tmp_path / "in")
    (root / "ILSVRC2012_img_val.tar").write_bytes(data)
    with pytest.raises(UsageError, match=r"ILSVRC2012_img_val\.tar in .*: download it again"):
        prepared(f"imagenet:{root}", tmp_path / "out")


def test_members_that_lead_out_of_a_tar_and_links_are_counted(tmp_path):
    root = imagenet(tmp_path / "in")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in (
            "../ILSVRC2012_val_00000001.JPEG",
            "/etc/ILSVRC2012_val_00000001.JPEG",
            "ILSVRC2012_val_00000002.JPEG",
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(made.jpeg(3))
            archive.addfile(entry, io.BytesIO(made.jpeg(3)))
        for name, kind in (("l.JPEG", tarfile.SYMTYPE), ("h.JPEG", tarfile.LNKTYPE), ("d.JPEG", tarfile.CHRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        entry = tarfile.TarInfo("readme.txt")
        archive.addfile(entry)
    (root / "ILSVRC2012_img_val.tar").write_bytes(stream.getvalue())
    outcome = prepared(f"imagenet:{root}", tmp_path / "out")
    assert outcome.prepared.part("val").names() == ["ILSVRC2012_val_00000002.JPEG"]
    reasons = left_out(tmp_path / "out")
    assert reasons.pop("ILSVRC2012_img_val.tar/readme.txt") == "its name is not that of an image"
    assert (
        sorted(reasons.values())
        == ["it is a link or a device, not a file"] * 3 + ["its name leads out of the archive"] * 2
    )
    assert outcome.skipped == 6


def test_a_header_that_claims_gigabytes_is_not_believed(tmp_path):
    root = imagenet(tmp_path / "in")
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 6 << 30
    header = entry.tobuf(tarfile.GNU_FORMAT)
    with (root / "ILSVRC2012_img_val.tar").open("wb") as file:
        file.write(header)
        file.truncate(7 << 30)  # a file with a hole
    with pytest.raises(UsageError, match="a header of 6,442,450,944 bytes"):
        prepared(f"imagenet:{root}", tmp_path / "out")


def test_a_packed_header_that_claims_gigabytes_is_not_believed(tmp_path):
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 6 << 30
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    with pytest.raises(UsageError, match="a header of 6,442,450,944 bytes"):
        prepared(f"cifar10:{path}", tmp_path / "out")


def test_a_batch_larger_than_any_of_cifar_is_not_read(tmp_path):
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(gzip.compress(made.tar(made.cifar_python() | {"data_batch_1": bytes((1 << 26) + 1)})))
    with pytest.raises(UsageError, match="data_batch_1 has 67,108,865 bytes, expected at most 67,108,864"):
        prepared(f"cifar10:{path}", tmp_path / "out")


def test_what_a_part_of_no_image_could_not_offer_is_counted(tmp_path):
    made.image_folder(tmp_path / "in" / "train")
    (tmp_path / "in" / "val" / "cat").mkdir(parents=True)
    outcome = prepared(f"imagefolder:{tmp_path}/in", tmp_path / "out")
    assert outcome.skipped == 0 and set(outcome.prepared.parts) == {"train"}
    assert left_out(tmp_path / "out") == {"val/cat/": "the class's folder holds no image"}


def test_an_image_that_pillow_knows_and_has_not_implemented_is_counted(tmp_path):
    root = made.image_folder(tmp_path / "in")
    data = bytearray(made.bmp(1))
    data[30:34] = (9).to_bytes(4, "little")  # its way of compression
    (root / "cat" / "zz.jpg").write_bytes(data)
    assert prepared(f"imagefolder:{root}", tmp_path / "out").skipped == 1
    assert "Unsupported BMP compression (9)" in left_out(tmp_path / "out")["cat/zz.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser reads everything")
def test_a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path):
    root = made.image_folder(tmp_path / "in")
    (root / "cat").chmod(0)
    try:
        with pytest.raises(CannotMeasure, match="Permission denied"):
            prepared(f"imagefolder:{root}", tmp_path / "out")
    finally:
        (root / "cat").chmod(0o755)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("val.names.jsonl", lambda file: file.unlink(), "cannot read .*names.jsonl"),
        ("val.names.jsonl", lambda file: file.write_text('"one"\n'), "has 1 names for 4 images"),
        ("val.names.jsonl", lambda file: file.write_text("{" * 4), "cannot read .*names.jsonl"),
        ("val.labels.npy", lambda file: file.write_text("none"), r"\(it is no whole .npy file\)"),
        ("val.images.npy", lambda file: os.truncate(file, 1000), r"\(it is no whole .npy file\)"),
        ("mean.npy", lambda file: np.save(file, np.full((32, 32, 3), np.nan, np.float32)), "are not finite"),
    ],
)
def test_a_prepared_folder_that_was_damaged_is_refused(tmp_path, file, change, message):
    prepared(f"imagefolder:{made.image_folder(tmp_path / 'in')}", tmp_path / "out")
    change(tmp_path / "out" / file)
    with pytest.raises(UsageError, match=message):
        open_prepared(tmp_path / "out").part("val").names()


def test_a_class_without_images_is_counted(tmp_path):
    root = imagenet(tmp_path / "in")
    made.write_train(root, "folders")
    for file in (root / "train" / made.SYNSETS[0]).iterdir():
        file.unlink()
    assert prepared(f"imagenet:{root}", tmp_path / "out").skipped == 0  # files
    assert left_out(tmp_path / "out") == {f"{made.SYNSETS[0]}/": "the class has no image"}


@pytest.mark.parametrize(
    "data", [b"", b"MATLAB 5.0 MAT-file" + bytes(300), made.meta()[:300], made.meta()[:-90], bytes(4000)]
)
def test_a_kit_that_is_damaged(tmp_path, data):
    root = imagenet(tmp_path / "in")
    next(root.rglob("meta.mat")).write_bytes(data)
    with pytest.raises(UsageError, match=r"meta\.mat in .* is damaged"):
        open_source(f"imagenet:{root}")


def test_a_kit_that_kills_the_library_is_refused(tmp_path):
    """One number of a whole table: a text with four sides in place of two."""
    packed = made.meta()
    plain = packed[:128] + zlib.decompress(packed[136:])
    damaged = plain.replace(struct.pack("<4I", 5, 8, 1, 9), struct.pack("<4I", 5, 16, 1, 9), 1)
    assert len(damaged) == len(plain) and damaged != plain
    root = imagenet(tmp_path / "in")
    next(root.rglob("meta.mat")).write_bytes(damaged)
    with pytest.raises(UsageError, match=r"meta\.mat in .* is damaged .*library that reads it was stopped"):
        open_source(f"imagenet:{root}")


def test_a_kit_that_swells(tmp_path, monkeypatch):
    root = imagenet(tmp_path / "in")
    monkeypatch.setattr(devkit, "MOST_BYTES", 1000)
    data = made.meta()
    with pytest.raises(ValueError, match="swells to more than 1,000 bytes"):
        devkit._refuse_swollen(data)
    monkeypatch.undo()
    assert open_source(f"imagenet:{root}").classes


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (made.meta(synsets=("n02119789", "n02119789", "n01440764")), "WordNet ids that are none, or not all different"),
        (made.meta(synsets=("../../etc", "n02100735", "n01440764")), "WordNet ids that are none"),
        (made.meta(number=7), "numbers its 1 leaf synsets otherwise than 1 to 1"),
    ],
)
def test_a_kit_that_cannot_be(tmp_path, meta, message):
    root = imagenet(tmp_path / "in")
    next(root.rglob("meta.mat")).write_bytes(meta)
    with pytest.raises(UsageError, match=message):
        open_source(f"imagenet:{root}")


class Mischief:
    """Unpickled by the ordinary unpickler, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def cifar(root: Path, **files: bytes) -> str:
    made.write_files(root, made.cifar_python() | files)
    return f"cifar10:{root}"


def test_a_pickle_that_calls_something_is_refused_before_it_does(tmp_path):
    evil = pickle.dumps({b"labels": Mischief(tmp_path / "evil")}, protocol=2)
    with pytest.raises(UsageError, match=r"data_batch_2 is not CIFAR's: it asks for (posix|nt)\.mkdir"):
        prepared(cifar(tmp_path / "in", data_batch_2=evil), tmp_path / "out")
    assert not (tmp_path / "evil").exists()
    pickle.loads(evil)
    assert (tmp_path / "evil").exists()  # so the test would have seen it


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is no whole pickle"),
        (b"\x80\x02}q\x00(U", "it is no whole pickle"),
        (made.cifar_pickle(0)[:3000], "it is no whole pickle"),
        (pickle.dumps([1, 2]), "it holds a list instead of a dictionary"),
        (pickle.dumps({b"data": 1}, protocol=2), "its data are no array"),
        (made.cifar_pickle(0, labels=[1]), "12 images, 1 labels and 12 names"),
        (made.cifar_pickle(0, labels=["a"] * 12), "its labels are no list of whole numbers"),
        (made.cifar_pickle(0, labels=[3] * 11 + [10]), "gives image 11 the label 10: expected 0 to 9"),
        (made.cifar_pickle(0, labels=[-1] * 12), "gives image 0 the label -1: expected 0 to 9"),
        (made.cifar_pickle(0, data=np.zeros((12, 3072))), "its data are no array of bytes"),
        (made.cifar_pickle(0, data=np.zeros((12, 300), np.uint8)), r"expected \[N, 3072\]"),
    ],
)
def test_a_pickle_that_is_not_cifars(tmp_path, data, message):
    with pytest.raises(UsageError, match=f"data_batch_1.*{message}"):
        prepared(cifar(tmp_path / "in", data_batch_1=data), tmp_path / "out")


def test_a_pickled_array_that_claims_gigabytes_costs_none(tmp_path):
    import resource

    data = made.cifar_pickle(0).replace(struct.pack("<BH", ord("M"), 3072), struct.pack("<Bi", ord("J"), 1 << 30), 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UsageError, match=r"its data are \(12, 1073741824\)"):
        prepared(cifar(tmp_path / "in", data_batch_1=data), tmp_path / "out")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_a_truncated_archive_of_cifar(tmp_path):
    data = gzip.compress(made.tar({f"inside/{name}": data for name, data in made.cifar_python().items()}))
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(UsageError, match="is truncated, or no tar, plain or gzipped"):
        prepared(f"cifar10:{path}", tmp_path / "out")


def test_binary_batches_of_an_odd_size(tmp_path):
    files = made.cifar_binary()
    files["test_batch.bin"] = files["test_batch.bin"][:-1]
    with pytest.raises(UsageError, match=r"test_batch is not CIFAR's: .* no whole number of records of 3073"):
        prepared(f"cifar10:{made.write_files(tmp_path / 'in', files)}", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("train-labels-idx1-ubyte", made.idx(np.full(18, 11, np.uint8)), "gives image 0 the label 11: expected 0 to 9"),
        (
            "train-labels-idx1-ubyte",
            made.idx(np.zeros(17, np.uint8)),
            "holds 18 images and .* another number of labels",
        ),
        ("t10k-images-idx3-ubyte", b"", "is no idx file"),
        ("t10k-images-idx3-ubyte", made.idx(np.zeros(7, np.uint8)) + bytes(20), "begins with 0x00000801"),
        ("t10k-images-idx3-ubyte", struct.pack(">4I", 0x803, 7, 28, 28) + bytes(100), "holds 116: download it again"),
        ("t10k-images-idx3-ubyte", struct.pack(">4I", 0x803, 7, 28, 28) + bytes(9000), "and holds more"),
        ("t10k-images-idx3-ubyte", struct.pack(">4I", 0x803, 1 << 31, 1 << 31, 28), "claims 2147483648 x 2147483648"),
        ("t10k-images-idx3-ubyte", struct.pack(">4I", 0x803, 7, 4, 4) + bytes(112), r"\(28, 28\) and \(4, 4\) pixels"),
    ],
)
def test_idx_files_that_cannot_be(tmp_path, name, data, message):
    made.mnist(tmp_path / "in")
    (tmp_path / "in" / name).write_bytes(data)
    with pytest.raises(UsageError, match=message):
        prepared(f"mnist:{tmp_path}/in", tmp_path / "out")


def test_a_gzip_that_breaks_off(tmp_path):
    made.mnist(tmp_path / "in", packed=True)
    path = tmp_path / "in" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UsageError, match="is truncated or damaged"):
        prepared(f"mnist:{tmp_path}/in", tmp_path / "out")
    assert not is_prepared(tmp_path / "out")
