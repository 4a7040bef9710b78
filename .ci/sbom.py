"""Reduces what cargo-cyclonedx lists to the crates that the program is built from.

    cargo tree ... --format '{p}' | python3 .ci/sbom.py FROM TO

cargo-cyclonedx reads the metadata, in which optional crates of crates stand that no feature turns on: another crypto
provider, other databases. `cargo tree` knows better.
"""

import json
import pathlib
import sys


def main(source, target):
    built = {f"{name}@{version.removeprefix('v')}" for name, version, *_ in map(str.split, sys.stdin)}
    bom = json.loads(source.read_text().replace(f"path+file://{pathlib.Path.cwd()}#", "path+file:///#"))
    root = bom["metadata"]["component"]
    bom["components"] = [component for component in bom["components"] if name_of(component) in built]
    missing = built - {name_of(component) for component in [root, *bom["components"]]}
    if missing:
        sys.exit(f"not in {source}: {', '.join(sorted(missing))}")
    kept = {root["bom-ref"], *(component["bom-ref"] for component in bom["components"])}
    bom["dependencies"] = [reduced(entry, kept) for entry in bom["dependencies"] if entry["ref"] in kept]
    target.write_text(json.dumps(bom, indent=1) + "\n")
    print(f"{len(bom['components'])} crates in {target}")


def name_of(component):
    return f"{component['name']}@{component['version']}"


def reduced(entry, kept):
    return entry | {"dependsOn": [ref for ref in entry.get("dependsOn", []) if ref in kept]}


main(*map(pathlib.Path, sys.argv[1:]))
