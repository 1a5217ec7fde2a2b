#!/bin/sh
# The embedded sample on an emulated aarch64, held against the golden sample: half a minute, after one of setting up.
#
#   apt-get install debootstrap qemu-user-static g++-aarch64-linux-gnu
#   sh scripts/aarch64.sh
#
# Debian's own Python for arm64 and the wheels for it are unpacked, nothing is installed. The kernels, and fastText,
# which has no wheel there, are cross-compiled. Emulated is the processor, not the kernel of the system.
set -eu
here=$(CDPATH= cd "$(dirname "$0")/.." && pwd)
work=$here/build/aarch64
system=$work/system
site=$work/site
tree=$work/tree
suffix=.cpython-311-aarch64-linux-gnu.so
mkdir -p "$work" "$here/build/matrix"

if [ ! -e "$work/.set-up" ]; then
  rm -rf "$system" "$site" "$work/wheels"
  debootstrap --arch=arm64 --foreign --variant=minbase --include=python3-dev bookworm "$system" > "$work/debootstrap.log"
  for package in "$system"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$system"; done
  names=$(python3 -c '
import sys, tomllib
print(*(name for name in tomllib.load(open(sys.argv[1], "rb"))["project"]["dependencies"] if "fasttext" not in name))
' "$here/pyproject.toml")
  platforms="--platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64"
  # shellcheck disable=SC2086
  python3 -m pip install --quiet --target "$site" --only-binary=:all: --python-version 3.11 $platforms $names
  python3 -m pip download --quiet --no-deps --no-binary fasttext-numpy2 -d "$work/wheels" fasttext-numpy2
  python3 -m pip install --quiet --no-deps --target "$work/headers" pybind11
  tar -xzf "$work"/wheels/fasttext*.tar.gz -C "$work"
  cd "$work"/fasttext-numpy2-*
  aarch64-linux-gnu-g++ -O3 -std=c++17 -fPIC -shared -pthread -ffp-contract=off -Isrc \
    -I"$system/usr/include/python3.11" -I"$system/usr/include" -I"$work/headers/pybind11/include" \
    python/fasttext_module/fasttext/pybind/fasttext_pybind.cc $(ls src/*.cc | grep -v main.cc) \
    -o "$site/fasttext_pybind$suffix"
  cp -r python/fasttext_module/fasttext "$site"
  touch "$work/.set-up"
fi

rm -rf "$tree"
mkdir "$tree"
cd "$here"
git ls-files -z | xargs -0 cp --parents -t "$tree"
cd "$tree"
for source in filters/_*.c; do
  aarch64-linux-gnu-gcc -O3 -std=gnu11 -fvisibility=hidden -ffp-contract=off -fPIC -shared -DNDEBUG \
    -I"$system/usr/include/python3.11" -I"$system/usr/include" "$source" -o "${source%.c}$suffix" -lm
done

# What starts a Python of its own (the trial of a tokenizer, parsing under a limit of time) starts this one.
cat > "$work/python" <<END
#!/bin/sh
exec qemu-aarch64-static -L "$system" -E LD_LIBRARY_PATH="$system/usr/lib/aarch64-linux-gnu" \\
  -E PYTHONPATH="$tree:$site" "$system/usr/bin/python3.11" "\$@"
END
chmod +x "$work/python"
"$work/python" -c '
import runpy, sys
sys.executable, sys.argv = sys.argv[1], sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
' "$work/python" scripts/golden.py --save "$here/build/matrix/aarch64.json"
