import jax

jax.config.update("jax_enable_x64", True)

from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("recredit", "typecheck.checker").__enter__()  # every shape in every signature is checked, in the tests only
