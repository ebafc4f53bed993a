"""The optional CPU kernel; everything else is in pyproject.toml. Without a compiler the package installs without it."""

from setuptools import Extension, setup

HOME = "src/elinformer/ops/eala/kernels"

setup(
    ext_modules=[
        Extension(
            "elinformer.ops.eala.kernels._eala",
            [f"{HOME}/eala.c"],
            depends=[
                f"{HOME}/{name}.h" for name in ("eala", "variant", "product", "rows", "state", "full", "causal", "jobs")
            ],
            extra_compile_args=["-O3", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-fno-wrapv", "-g0"],
            optional=True,
        )
    ]
)
