"""The catalogue: its facts, its look-up, and downloads from a real server on this machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from retrain_tools import catalog
from retrain_tools.catalog_entry import CatalogEntry, Member
from retrain_tools.errors import InputError
from tests.catalog.toys import LABELS, entry_text

INCEPTION_2015 = "inception-2015-12-05"
INCEPTION_2016 = "inception_v3_2016_08_28_frozen"
WIDTHS = ("1.0", "0.75", "0.50", "0.25")
SIZES = (224, 192, 160, 128)
MOBILENETS = [f"mobilenet_v1_{width}_{size}" for width in WIDTHS for size in SIZES]


# The facts


def test_published_names() -> None:
    assert sorted(catalog.entries()) == sorted([INCEPTION_2015, INCEPTION_2016, *MOBILENETS])


def test_inception_2015() -> None:
    assert catalog.entries()[INCEPTION_2015] == CatalogEntry(
        name=INCEPTION_2015,
        description="Inception v3 of December 2015, ImageNet 2012: the graph of classify_image.py "
        "and of the first retrain.py",
        url="https://storage.googleapis.com/download.tensorflow.org/models/image/imagenet/"
        "inception-2015-12-05.tgz",
        archive="inception-2015-12-05.tgz",
        archive_bytes=88931400,
        archive_sha256=None,
        graph=Member(
            "classify_image_graph_def.pb",
            95673916,
            "009d6814d1bc560d4e7b236e170e9b2d5ca6f4b57bd8037f6db05776204415c6",
        ),
        labels=(
            Member(
                "imagenet_2012_challenge_label_map_proto.pbtxt",
                64986,
                "ad887453d527d9bec13ac0a1f078304d6705436a7e7e98dd7b1f673efcb0a444",
            ),
            Member(
                "imagenet_synset_to_human_label_map.txt",
                741401,
                "5b8db22d2e2b0ad28b55c9c502eb45e018bc0c907524b8782958cca4805689ea",
            ),
        ),
        aliases=("inception_v3",),
        encoded_input="DecodeJpeg/contents:0",
        pixel_input="Mul:0",
        image_size=(299, 299),
        mean=128.0,
        std=128.0,
        bottleneck="pool_3/_reshape:0",
        depth=2048,
        pooling=None,
        final="softmax:0",
        imagenet_scores=1008,
    )


def test_inception_2016() -> None:
    assert catalog.entries()[INCEPTION_2016] == CatalogEntry(
        name=INCEPTION_2016,
        description="Inception v3 of August 2016 from slim, ImageNet 2012: the graph of "
        "label_image.py",
        url="https://storage.googleapis.com/download.tensorflow.org/models/"
        "inception_v3_2016_08_28_frozen.pb.tar.gz",
        archive="inception_v3_2016_08_28_frozen.pb.tar.gz",
        archive_bytes=88668554,
        archive_sha256="7045b72a954af4dce36346f478610acdccbf149168fa25c78e54e32f0c723d6d",
        graph=Member("inception_v3_2016_08_28_frozen.pb", None, None),
        labels=(Member("imagenet_slim_labels.txt", None, None),),
        aliases=(),
        encoded_input=None,
        pixel_input="input:0",
        image_size=(299, 299),
        mean=127.5,
        std=127.5,
        bottleneck="InceptionV3/Logits/AvgPool_1a_8x8/AvgPool:0",
        depth=2048,
        pooling="avg",
        final="InceptionV3/Predictions/Reshape_1:0",
        imagenet_scores=1001,
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", SIZES)
def test_mobilenets(width: str, size: int) -> None:
    name = f"mobilenet_v1_{width}_{size}"
    hashed = name == "mobilenet_v1_0.25_128"
    halves = (f"mobilenet_0.5_{size}", f"mobilenet_v1_0.5_{size}") if width == "0.50" else ()
    assert catalog.entries()[name] == CatalogEntry(
        name=name,
        description=f"MobileNet v1 of 2017, width {width}, {size}×{size} pixels, ImageNet 2012",
        url=f"https://storage.googleapis.com/download.tensorflow.org/models/{name}_frozen.tgz",
        archive=f"{name}_frozen.tgz",
        archive_bytes=2617289 if hashed else None,
        archive_sha256="30af63cf9039861bc03f86c7b8092fab754d51b27f042830c456ddbfa2b72fce"
        if hashed
        else None,
        graph=Member(
            f"{name}/frozen_graph.pb",
            1998252 if hashed else None,
            "76fec915bb13a76014a1863ff0976f848d8506388a76fe571e7b366541cc812f" if hashed else None,
        ),
        labels=(Member(f"{name}/labels.txt", None, None),),
        aliases=(f"mobilenet_{width}_{size}", *halves),
        encoded_input=None,
        pixel_input="input:0",
        image_size=(size, size),
        mean=127.5,
        std=127.5,
        bottleneck="MobilenetV1/Predictions/Reshape:0",
        depth=1001,
        pooling=None,
        final="MobilenetV1/Predictions/Reshape_1:0",
        imagenet_scores=1001,
    )


def test_no_name_is_used_twice() -> None:
    spellings = [s for e in catalog.entries().values() for s in (e.name, *e.aliases)]
    assert len(spellings) == len(set(spellings)) == 18 + 1 + 16 + 8


# Looking up


@given(
    prefix=st.sampled_from(["mobilenet_", "mobilenet_v1_"]),
    width=st.sampled_from(["1.0", "0.75", "0.50", "0.5", "0.25"]),
    size=st.sampled_from(SIZES),
    suffix=st.sampled_from(["", "_quantized", "_quant"]),
)
def test_architecture_spellings(prefix: str, width: str, size: int, suffix: str) -> None:
    entry = catalog.find_entry(f"{prefix}{width}_{size}{suffix}")
    base = f"mobilenet_v1_{'0.50' if width == '0.5' else width}_{size}"
    assert entry is not None
    assert entry.url.endswith(f"/{base}_frozen.tgz")
    assert entry.image_size == (size, size)
    if suffix:
        assert entry.name == f"{base}_quantized"
        assert entry.graph == Member(f"{base}/quantized_graph.pb", None, None)
    else:
        assert entry == catalog.entries()[base]


@given(st.text())
def test_other_names_are_unknown(name: str) -> None:
    spellings = {s for e in catalog.entries().values() for s in (e.name, *e.aliases)}
    if name not in spellings:
        assert catalog.find_entry(name) is None


def test_find_entry() -> None:
    assert catalog.find_entry("inception_v3") == catalog.entries()[INCEPTION_2015]
    assert catalog.find_entry("Inception_V3") is None
    assert catalog.find_entry("inception_v3_quantized") is None
    assert catalog.find_entry("mobilenet_0.25_128_quantized_quant") is None


@pytest.mark.parametrize(
    ("nodes", "image_size", "name"),
    [
        (["Mul", "pool_3/_reshape", "final_result"], (299, 299), INCEPTION_2015),
        (["Mul", "pool_3/_reshape"], None, INCEPTION_2015),
        (["Mul", "pool_3/_reshape"], (224, 224), None),
        (["Mul", "pool_3"], None, None),
        (["input", "InceptionV3/Logits/AvgPool_1a_8x8/AvgPool"], (299, 299), INCEPTION_2016),
        (["input", "MobilenetV1/Predictions/Reshape"], (192, 192), "mobilenet_v1_0.25_192"),
        (["input", "MobilenetV1/Predictions/Reshape"], None, "mobilenet_v1_0.25_128"),
        (["MobilenetV1/Predictions/Reshape"], None, None),
        ([], None, None),
    ],
)
def test_match_entry(
    nodes: list[str], image_size: tuple[int, int] | None, name: str | None
) -> None:
    entry = catalog.match_entry(nodes, image_size)
    assert (entry.name if entry else None) == name


def test_match_entry_does_not_choose_between_preprocessings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    published = Path(catalog.__file__).parents[1] / "graphs" / f"{INCEPTION_2016}.toml"
    text = published.read_text()
    (tmp_path / "same.toml").write_text(text)
    monkeypatch.setenv("RETRAIN_TOOLS_CATALOG", str(tmp_path))
    nodes = ["input", "InceptionV3/Logits/AvgPool_1a_8x8/AvgPool"]
    match = catalog.match_entry(nodes, (299, 299))
    assert match is not None
    assert match.name == INCEPTION_2016
    (tmp_path / "other.toml").write_text(text.replace("mean = 127.5", "mean = 0"))
    assert catalog.match_entry(nodes, (299, 299)) is None


def test_the_model_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert catalog.model_folder(None).name == "retrain_tools"
    monkeypatch.setenv("RETRAIN_TOOLS_HOME", str(tmp_path / "home"))
    assert catalog.model_folder(None) == tmp_path / "home"
    assert catalog.model_folder(tmp_path) == tmp_path


# A folder of one's own


def test_own_entry(own: Path) -> None:
    (own / "toy.toml").write_text(entry_text())
    assert len(catalog.entries()) == 19
    assert catalog.find_entry("toy_alias") == CatalogEntry(
        name="toy",
        description="A toy",
        url="http://127.0.0.1:9/toy.tgz",
        archive="toy.tgz",
        archive_bytes=None,
        archive_sha256=None,
        graph=Member("toy/frozen_graph.pb", None, None),
        labels=(Member("toy/labels.txt", None, None),),
        aliases=("toy_alias",),
        encoded_input=None,
        pixel_input="input:0",
        image_size=(8, 16),
        mean=0.0,
        std=255.0,
        bottleneck="features:0",
        depth=4,
        pooling=None,
        final=None,
        imagenet_scores=None,
    )


def test_own_entry_wins(own: Path) -> None:
    (own / f"{INCEPTION_2016}.toml").write_text(entry_text())
    (own / "toy.toml").write_text(entry_text(aliases='["inception_v3"]'))
    assert len(catalog.entries()) == 19
    assert catalog.entries()[INCEPTION_2016].description == "A toy"
    by_alias = catalog.find_entry("inception_v3")
    assert by_alias is not None
    assert by_alias.name == "toy"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[archive]", "[archive", "{file} is not a TOML file: Expected ']' at the end of a table"),
        ('"A toy"', '"A \\q"', "{file} is not a TOML file: Unescaped"),
        ('pixel = "input:0"', "", "{file}: the key 'input.pixel' is missing; it must be a tensor"),
        ('description = "A toy"', "", "{file}: the key 'description' is missing; it must be a str"),
        ("[output]", "[outputs]", "{file}: the key 'output.bottleneck' is missing"),
        ("mean = 0", "mean = 0\nmeen = 1", "{file}: unknown key 'input.meen'."),
        ('name = "toy.tgz"', 'name = "toy.tgz"\nsha265 = ""', "unknown key 'archive.sha265'."),
        ('"toy/labels.txt"', '"toy/labels.txt"\nsize = 1', "unknown key 'labels.size'."),
        ("aliases = ", "alias = ", "{file}: unknown key 'alias'."),
        ("mean = 0", 'mean = "0"', "{file}: 'input.mean' must be a number, not '0'."),
        ("std = 255", "std = 0", "{file}: 'input.std' must be a positive number, not 0."),
        ("[8, 16]", "[8]", "{file}: 'input.image_size' must be [height, width], not [8]."),
        ("depth = 4", "depth = true", "'output.depth' must be a positive integer, not True."),
        (
            "depth = 4",
            'depth = 4\npooling = "mean"',
            "'output.pooling' must be 'avg', 'max' or 'flatten', not",
        ),
        (
            "depth = 4",
            "depth = 4\nimagenet_scores = 1002",
            "'output.imagenet_scores' must be 1000, 1001 or 1008, not 1002.",
        ),
        ('"input:0"', '"input"', "must be a tensor name such as 'Mul:0', not 'input'."),
        ('name = "toy.tgz"', 'name = "../toy.tgz"', "'archive.name' must be a file name, not"),
        ("http://", "file://", "'archive.url' must be an http or https address, not 'file://"),
        ("toy/labels.txt", "../labels.txt", "'labels.path' must be a path inside the archive, not"),
        ("toy/labels.txt", "/labels.txt", "'labels.path' must be a path inside the archive, not"),
        ('["toy_alias"]', '"toy_alias"', "'aliases' must be a list of strings, not 'toy_alias'."),
        ('["toy_alias"]', "[]\narchive = 1", "{file} is not a TOML file: "),
    ],
)
def test_broken_own_entry(own: Path, old: str, new: str, message: str) -> None:
    file = own / "toy.toml"
    assert old in entry_text()
    file.write_text(entry_text().replace(old, new, 1))
    with pytest.raises(InputError, match=re.escape(message.format(file=file))):
        catalog.entries()


def test_section_that_is_no_table(own: Path) -> None:
    file = own / "toy.toml"
    file.write_text('description = ""\narchive = 1\n')
    with pytest.raises(InputError, match=re.escape(f"{file}: 'archive' must be a table, not 1.")):
        catalog.entries()


def test_missing_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_TOOLS_CATALOG", "/no/such")
    with pytest.raises(InputError, match=r"^RETRAIN_TOOLS_CATALOG names no folder: /no/such$"):
        catalog.entries()


# Finding a file


def test_existing_path_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "inception_v3").write_bytes(b"mine")
    monkeypatch.chdir(tmp_path)
    assert catalog.find_graph("inception_v3") == (Path("inception_v3"), None)
    assert catalog.find_graph(str(tmp_path)) == (tmp_path, None)


@pytest.mark.parametrize("graph", ["no/such", "nothing.pb", "nothing.pbtxt", "/tmp/no.pb"])
def test_missing_path(graph: str) -> None:
    with pytest.raises(InputError, match=f"^No such file: {graph}$"):
        catalog.find_graph(graph)


def test_unknown_name() -> None:
    with pytest.raises(InputError) as raised:
        catalog.find_graph("inceptoin_v3")
    assert str(raised.value) == (
        "No file and no catalogue name 'inceptoin_v3'. Did you mean 'inception_v3'? Known names: "
        "inception-2015-12-05, inception_v3, inception_v3_2016_08_28_frozen, "
        "mobilenet_v1_{1.0,0.75,0.50,0.25}_{224,192,160,128}, inception_resnet_v2, inception_v1, "
        "inception_v2, inception_v3_2016_08_28, inception_v4, "
        "mobilenet_v1_{1.0,0.75,0.50,0.25}_{224,192,160,128}_2018_08_02, "
        "mobilenet_v2_{1.4,1.3,1.0,0.75,0.5,0.35}_224, resnet_v1_101, resnet_v1_152, resnet_v1_50, "
        "resnet_v2_101, resnet_v2_152, resnet_v2_50, vgg_16, vgg_19."
    )
    with pytest.raises(InputError, match=r"^No file and no catalogue name ''\. Known names: "):
        catalog.find_graph("")


def test_wrong_size_is_not_used(tmp_path: Path) -> None:
    graph = tmp_path / "classify_image_graph_def.pb"
    graph.write_bytes(b"short")
    with pytest.raises(InputError) as raised:
        catalog.find_graph("inception_v3", tmp_path)
    assert str(raised.value) == (
        f"{graph} is not the published inception-2015-12-05: expected 95673916 bytes, got 5. "
        "Delete it to fetch it again."
    )
    assert graph.read_bytes() == b"short"


def test_label_paths(tmp_path: Path) -> None:
    mobilenet = catalog.entries()["mobilenet_v1_0.25_128"]
    graph = tmp_path / "mobilenet_v1_0.25_128" / "frozen_graph.pb"
    assert catalog.label_paths(mobilenet, graph) == []
    graph.parent.mkdir()
    (graph.parent / "labels.txt").write_bytes(LABELS)
    assert catalog.label_paths(mobilenet, graph) == [graph.parent / "labels.txt"]
    inception = catalog.entries()[INCEPTION_2015]
    (tmp_path / "imagenet_synset_to_human_label_map.txt").write_bytes(b"")
    assert catalog.label_paths(inception, tmp_path / "classify_image_graph_def.pb") == [
        tmp_path / "imagenet_synset_to_human_label_map.txt"
    ]
