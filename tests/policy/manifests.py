"""Objects to and from files, and the compiler."""

import json
import os
import subprocess
import tempfile

import yaml

TOP_BUILD = os.environ.get("top_builddir") or os.environ.get("SLUICE_BUILD") or \
    os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "build")
SLUICECTL = os.path.join(TOP_BUILD, "utilities", "sluicectl")


class CompileError(Exception):
    pass


def read(path):
    """The objects of a file, those of Lists one by one."""
    found = []
    with open(path) as stream:
        for document in yaml.load_all(stream, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if document:
                found += document["items"] if document.get("kind") == "List" else [document]
    return found


def write(path, objects):
    """As JSON, which is YAML too."""
    with open(path, "w") as stream:
        stream.write(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def text(objects):
    """As a person would like to read it."""
    return yaml.safe_dump_all(objects, sort_keys=False, default_flow_style=None, width=118)


def compile_dir(folder, node, *options):
    result = subprocess.run([SLUICECTL, "compile", "--source", folder, "--node", node, *options],
                            env={**os.environ, "SLUICE_RUNDIR": folder}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=120)
    if result.returncode:
        raise CompileError(f"sluicectl compile: exit {result.returncode}: {result.stderr}")
    return result.stdout


def compile_objects(objects, node, *options):
    """The flows of a node, as "sluicectl compile" prints them."""
    with tempfile.TemporaryDirectory(prefix="sluice-oracle-") as folder:
        write(os.path.join(folder, "objects.yaml"), objects)
        return compile_dir(folder, node, *options)
