#!/usr/bin/env bash
# Builds KenLM's lmplz and build_binary, which `rpj train lm` needs, from the kenlm source distribution on PyPI.
#
#   scripts/build_kenlm.sh [PREFIX]      installs PREFIX/bin/lmplz and PREFIX/bin/build_binary
#
# PREFIX defaults to the active virtual environment, else to this checkout's .venv, else to ~/.local.
# Needs a C++ compiler, make, cmake and three boost libraries: about 90 s of CPU time, 30 MB of temporary space.
# Installs no package itself: what is missing is named together with the command that gets it.
set -euo pipefail

KENLM_VERSION=0.3.0
KENLM_SHA256=c4628bb9fb63c8a6f9240035b8b037385cfc404cb72e933cf48878291edac1e8
APT_LINE="apt-get install g++ make libboost-program-options-dev libboost-thread-dev libboost-system-dev"

case "${1:-}" in
  -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac

die() { echo "build_kenlm.sh: $*" >&2; exit 2; }

checkout=$(cd "$(dirname "$0")/.." && pwd)
if [ -n "${1:-}" ]; then prefix=$1
elif [ -n "${VIRTUAL_ENV:-}" ]; then prefix=$VIRTUAL_ENV
elif [ -x "$checkout/.venv/bin/python" ]; then prefix=$checkout/.venv
else prefix=$HOME/.local
fi
python=$(command -v "$prefix/bin/python" || command -v "$checkout/.venv/bin/python" || command -v python3) \
  || die "no Python found. Next: install python3 with pip, or activate the virtual environment."

compiler=${CXX:-g++}
command -v "$compiler" >/dev/null || die "no C++ compiler ($compiler). Next: $APT_LINE (or set CXX)"
command -v make >/dev/null || die "no make. Next: $APT_LINE"
cmake=$(command -v cmake || command -v "$prefix/bin/cmake") \
  || die "no cmake. Next: '$python' -m pip install cmake   (or apt-get install cmake)"
for header in boost/program_options.hpp boost/thread.hpp boost/system/error_code.hpp; do
  echo "#include <$header>" | "$compiler" -E -x c++ - >/dev/null 2>&1 \
    || die "boost's <$header> is missing. Next: $APT_LINE (elsewhere: the boost development package)"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/build_kenlm.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "fetching kenlm $KENLM_VERSION" >&2
echo "kenlm==$KENLM_VERSION --hash=sha256:$KENLM_SHA256" > "$work/requirements.txt"
"$python" -m pip download --quiet --no-binary kenlm --no-deps --require-hashes --dest "$work" \
  --requirement "$work/requirements.txt" \
  || die "pip could not fetch kenlm $KENLM_VERSION. Next: check the network or PIP_INDEX_URL, and run again."
tar -xzf "$work/kenlm-$KENLM_VERSION.tar.gz" -C "$work"
source=$work/kenlm-$KENLM_VERSION

# Only the unit tests, which are not built, use boost's test framework; its find_package asks for it all the same.
sed -i.orig '/^ *unit_test_framework *$/d' "$source/CMakeLists.txt"

# Static boost: the two programs then also run on cluster nodes that have no boost. No compression libraries and no
# Eigen: the training feeds plain text and does not interpolate, and the build does not depend on what lies around.
echo "building lmplz and build_binary (1-3 minutes)" >&2
log=$work/build.log
if ! { "$cmake" -S "$source" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DBoost_USE_STATIC_LIBS=ON \
         -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_POLICY_VERSION_MINIMUM=3.10 \
         -DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=ON -DCMAKE_DISABLE_FIND_PACKAGE_BZip2=ON \
         -DCMAKE_DISABLE_FIND_PACKAGE_LibLZMA=ON -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON \
       && "$cmake" --build "$work/build" --target lmplz build_binary --parallel "${JOBS:-2}"; } >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  die "the build failed (its last lines are above). Next: check boost with: $APT_LINE"
fi

# A program appears under its name only when it is whole and answers.
mkdir -p "$prefix/bin"
for program in lmplz build_binary; do
  staged=$prefix/bin/.$program.tmp-$$
  cp "$work/build/bin/$program" "$staged"
  chmod 755 "$staged"
  "$staged" --help >/dev/null 2>&1 || [ $? -eq 1 ] || { rm -f "$staged"; die "$program was built but does not start."; }
  mv -f "$staged" "$prefix/bin/$program"
  echo "installed $prefix/bin/$program" >&2
done
case ":$PATH:" in
  *":$prefix/bin:"*) ;;
  *) echo "note: $prefix/bin is not on PATH; add it, or give rpj train lm --kenlm-bin $prefix/bin" >&2 ;;
esac
