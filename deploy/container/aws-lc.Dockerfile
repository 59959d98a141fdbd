# The image with faster signatures: cryptography on AWS-LC in place of OpenSSL. Build the image itself before this one:
# `docker build --file deploy/container/aws-lc.Dockerfile --tag notification-management:aws-lc .`
ARG IMAGE=notification-management
# It has Python 3.11: the wheel fits this version and later ones.
ARG RUST=rust:1.95-slim-bookworm

FROM ${RUST} AS build
# The version whose source is built: its checksum is verified by cargo.
ARG AWS_LC_SYS=0.47.0
WORKDIR /source
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends cmake g++ libclang-dev make python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && cargo install --locked bindgen-cli
RUN printf '[package]\nname = "source"\nversion = "0.0.0"\n[lib]\npath = "lib.rs"\n[dependencies]\naws-lc-sys = "=%s"\n' \
      "${AWS_LC_SYS}" > Cargo.toml \
 && touch lib.rs \
 && cargo vendor \
 && cmake -S vendor/aws-lc-sys/aws-lc -B build -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DBUILD_TESTING=OFF \
      -DBUILD_TOOL=OFF -DDISABLE_GO=ON -DDISABLE_PERL=ON -DCMAKE_INSTALL_PREFIX=/aws-lc -DCMAKE_INSTALL_LIBDIR=lib \
 && cmake --build build --parallel --target crypto ssl \
 && cmake --install build
COPY requirements/service.txt .
# The same version and source that is locked; what is in the image is not replaced by another one.
RUN python3 -m venv /build \
 && OPENSSL_DIR=/aws-lc OPENSSL_STATIC=1 /build/bin/pip wheel --no-deps --require-hashes --no-binary cryptography \
      --requirement service.txt --wheel-dir /wheels

FROM ${IMAGE}
COPY --from=build /wheels/cryptography-*.whl /tmp/wheels/
USER 0
RUN /opt/notification-management/bin/pip install --no-cache-dir --no-deps --no-index --force-reinstall /tmp/wheels/*.whl \
 && /opt/notification-management/bin/pip inspect > /opt/notification-management/sbom/pip-inspect.json \
 && rm -r /tmp/wheels
USER 10001
