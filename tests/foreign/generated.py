"""Makes Python stubs from proto/, as any user would."""

import pathlib
import sys

import grpc_tools
from grpc_tools import protoc


def generate(proto: pathlib.Path, out: pathlib.Path) -> None:
    """Generates into `out` and puts it on the path for imports."""
    out.mkdir(parents=True)
    files = sorted(str(file) for file in (proto / "kontiki/v1").glob("*.proto"))
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    arguments = [f"-I{proto}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}", *files]
    code = protoc.main(["protoc", *arguments])
    if code != 0:
        raise RuntimeError(f"protoc ended with {code}")
    sys.path.insert(0, str(out))
