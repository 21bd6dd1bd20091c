# docker build -t moe_mat . && docker run --rm -v "$PWD:/data" -v moe_mat:/cache moe_mat fit my.csv --target band_gap
FROM python:3.11-slim
# Options of pip, for a build of torch without CUDA where a small image is wanted.
ARG TORCH="torch==2.13.0"
RUN apt-get update && apt-get install --yes --no-install-recommends g++ libgomp1 && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN pip install --no-cache-dir ${TORCH} && pip install --no-cache-dir "/source[physics]" && rm -rf /source \
    && useradd --create-home user && mkdir /data /cache && chown user /data /cache
USER user
WORKDIR /data
ENV MOE_MAT_CACHE=/cache
ENTRYPOINT ["moe-mat"]
CMD ["--help"]
