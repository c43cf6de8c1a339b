"""What every example is asked on the command line: which library computes, where, and with how many digits."""

import argparse

import portable_mlp as pm


def chosen_backend(docstring: str) -> tuple[pm.Backend, str]:
    """Read --backend, --device and --dtype, print the choice, and return the backend and the name of the dtype."""
    _, _, description = docstring.partition("\n\n")  # its title is underlined, for the gallery
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--backend", default="auto", help="numpy, cupy, torch, jax, strict or auto (the default)")
    parser.add_argument("--device", help="such as cpu, cuda:1 or device1 (default: the library's own)")
    parser.add_argument(
        "--dtype",
        default="float64",
        choices=("float64", "float32"),
        help="of all floating numbers (default: %(default)s, which JAX has with JAX_ENABLE_X64=1 in the environment)",
    )
    options = parser.parse_args()
    try:
        backend = pm.get_backend(options.backend, device=options.device)
        backend.dtype(options.dtype)  # refused here, with the reason, where the library has no float64
    except (ValueError, pm.BackendUnavailable) as error:
        parser.error(str(error))
    print(f"{backend.name} on {backend.device}, {options.dtype}")
    return backend, options.dtype
