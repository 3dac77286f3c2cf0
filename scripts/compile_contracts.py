"""Compile the contracts into the artifacts that pods ship with: `python -m
scripts.compile_contracts`.

Compiler settings come from foundry.toml, so that what forge tests is what is deployed; the compiler
is scripts/solc (npm's solc) driven through py-solc-x. The artifacts hold no path of this machine,
no time and no metadata hash: equal sources give equal bytes, and tests/test_contracts.py compiles
again and compares. Beside the bytecode an artifact has the runtime code, and where immutables stand
in it, so that a client can compare what is deployed; standard-input.json is what a block explorer
is given to compile the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import solcx

from fitchain.pod.ports.chain import node_tools

ROOT = Path(__file__).resolve().parent.parent
ARTIFACTS = ROOT / "pod" / "ports" / "chain" / "artifacts"
SOLC = ROOT / "scripts" / "solc"
CONTRACTS = ("FitCoin", "Directory", "Registry", "Verifiers", "Agreements", "ProofOfTrain", "Audits")
STANDARD_INPUT = ARTIFACTS / "standard-input.json"
LIBRARIES = {"@openzeppelin/": ROOT / "node_modules" / "@openzeppelin"}
UNCHANGED: Mapping[str, str] = {}

IMPORT = re.compile(r"^import\s[^;]*?\"([^\"]+)\";", re.MULTILINE | re.DOTALL)


def artifacts(names: Sequence[str] = CONTRACTS, changed: Mapping[str, str] = UNCHANGED) -> dict[str, str]:
    """Compile and describe contracts.

    Args:
        names: which of them.
        changed: by source name the text that is compiled in the place of the file's.

    Returns:
        for each contract the text of its artifact.

    Raises:
        NotFound: the tools are not installed.
        solcx.exceptions.SolcError: the sources do not compile.
    """
    settings = compiler_settings()
    answer = compiled(standard_input(names, changed))
    output, version = answer["contracts"], str(solcx.wrapper.get_version_str_from_solc_binary(SOLC))
    variables = _variable_names(answer["sources"])
    return {
        name: _encode(
            {
                "contract": name,
                "source": _source(name),
                "compiler": version,
                "settings": settings,
                "sources_sha256": _digests(_closure(_source(name), changed=changed)),
                "abi": output[_source(name)][name]["abi"],
                "bytecode": "0x" + output[_source(name)][name]["evm"]["bytecode"]["object"],
                "runtime": "0x" + output[_source(name)][name]["evm"]["deployedBytecode"]["object"],
                "immutables": _immutables(output[_source(name)][name], variables),
            }
        )
        for name in names
    }


def built_from(source: str) -> tuple[str, ...]:
    """The contracts whose code a source is part of, by its name. The interfaces of a contract are
    part of what calls it too."""
    return tuple(name for name in CONTRACTS if source in _closure(_source(name)))


def enums() -> dict[str, list[str]]:
    """The enums of contracts/types as the compiler reads them: by name their members, in the order
    of their numbers.

    Raises:
        NotFound: the tools are not installed.
    """
    files = sorted((ROOT / "contracts" / "types").glob("*.sol"))
    sources = _closure(*(str(path.relative_to(ROOT)) for path in files))
    parsed = compiled(_request(sources, {}, {"*": {"": ["ast"]}}))["sources"].values()
    nodes = [node for source in parsed for node in source["ast"]["nodes"] if node["nodeType"] == "EnumDefinition"]
    return {node["name"]: [member["name"] for member in node["members"]] for node in nodes}


def compiler_settings() -> dict[str, Any]:
    """The settings of foundry.toml's default profile for what is deployed, as solc names them."""
    with (ROOT / "foundry.toml").open("rb") as file:
        profile = tomllib.load(file)["profile"]["default"]
    (deployed,) = profile["additional_compiler_profiles"]
    return {
        "evmVersion": profile["evm_version"],
        "viaIR": deployed["via_ir"],
        "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
        "metadata": {"bytecodeHash": profile["bytecode_hash"], "appendCBOR": profile["cbor_metadata"]},
    }


def standard_input(names: Sequence[str] = CONTRACTS, changed: Mapping[str, str] = UNCHANGED) -> dict[str, Any]:
    """What the compiler is given for the artifacts, as its standard JSON: all sources and
    settings. The arguments are those of `artifacts`."""
    code = ["evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"]
    selection: dict[str, Any] = {"*": {"": ["ast"]}}
    selection |= {_source(name): {name: ["abi", *code]} for name in names}
    return _request(_closure(*map(_source, names), changed=changed), compiler_settings(), selection)


def standard_input_text() -> str:
    """`standard_input` as the file that ships and that block explorers are given."""
    return json.dumps(standard_input(), sort_keys=True) + "\n"


def main() -> int:
    """Write the artifacts and the compiler's input, and say which changed."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    texts = {f"{name}.json": text for name, text in artifacts().items()}
    texts[STANDARD_INPUT.name] = standard_input_text()
    for name, text in texts.items():
        path = ARTIFACTS / name
        changed = not path.is_file() or path.read_text() != text
        path.write_text(text)
        print(f"{name}: {'written' if changed else 'unchanged'}", file=sys.stderr)
    return 0


def _request(sources: dict[str, str], settings: dict[str, Any], selection: dict[str, Any]) -> dict[str, Any]:
    """Sources as the compiler's standard JSON; its answer will have of them what `selection`
    names."""
    return {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sorted(sources.items())},
        "settings": {**settings, "outputSelection": selection},
    }


def compiled(request: dict[str, Any]) -> dict[str, Any]:
    """The compiler's answer to a request in standard JSON.

    Raises:
        NotFound: the tools are not installed.
        solcx.exceptions.SolcError: the sources do not compile.
    """
    os.environ.update(node_tools.variables())  # py-solc-x starts scripts/solc in this process's environment
    answer: dict[str, Any] = solcx.compile_standard(request, solc_binary=SOLC)
    return answer


def _variable_names(sources: dict[str, Any]) -> dict[str, str]:
    """The contracts' state variables by the compiler's number for their declaration."""
    return {
        str(variable["id"]): variable["name"]
        for source in sources.values()
        for contract in source["ast"]["nodes"]
        if contract["nodeType"] == "ContractDefinition"
        for variable in contract["nodes"]
        if variable["nodeType"] == "VariableDeclaration"
    }


def _immutables(contract: dict[str, Any], names: dict[str, str]) -> dict[str, list[int]]:
    """For each immutable the offsets in the runtime code at which its 32 bytes stand."""
    references = contract["evm"]["deployedBytecode"]["immutableReferences"]
    return {names[number]: sorted(place["start"] for place in places) for number, places in references.items()}


def _source(contract: str) -> str:
    return f"contracts/{contract}.sol"


def _closure(*roots: str, changed: Mapping[str, str] = UNCHANGED) -> dict[str, str]:
    """The sources named and all that they import, by source name."""
    sources: dict[str, str] = {}
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name not in sources:
            sources[name] = changed[name] if name in changed else _path(name).read_text()
            todo += _imports(name, sources[name])
    return sources


def _digests(sources: dict[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(sources.items())}


def _imports(name: str, text: str) -> list[str]:
    folder = os.path.dirname(name)
    return [os.path.normpath(os.path.join(folder, to)) if to.startswith(".") else to for to in IMPORT.findall(text)]


def _path(name: str) -> Path:
    for prefix, folder in LIBRARIES.items():
        if name.startswith(prefix):
            return folder / name.removeprefix(prefix)
    return ROOT / name


def _encode(artifact: dict[str, Any]) -> str:
    """JSON with one line for each entry of the ABI, so that a change of the interface is a readable
    diff."""
    fields = {key: json.dumps(value, sort_keys=key != "abi") for key, value in artifact.items()}
    fields["abi"] = "[\n" + ",\n".join("    " + json.dumps(entry) for entry in artifact["abi"]) + "\n  ]"
    fields["immutables"] = json.dumps(artifact["immutables"], sort_keys=True)
    fields["sources_sha256"] = json.dumps(artifact["sources_sha256"], indent=4).replace("\n}", "\n  }")
    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {text}" for key, text in fields.items()) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
