#!/bin/sh
# sanitize.sh TEST_CUDA_ENGINE [TOOL..]: the CUDA engine's test, shortened, under compute-sanitizer, one precision at a time. Exit
# code 77, which ctest calls skipped, where there is no compute-sanitizer or no GPU.
test=$1 failed=0
shift
command -v compute-sanitizer >/dev/null || { echo "no compute-sanitizer: skipped"; exit 77; }
"$test" short >/dev/null 2>&1
[ $? != 77 ] || { echo "no GPU: skipped"; exit 77; }
[ $# != 0 ] || set -- memcheck racecheck initcheck synccheck
for tool; do
    for precision in single mixed; do
        echo "== $tool, $precision"
        compute-sanitizer --tool "$tool" --error-exitcode 1 "$test" short $precision || failed=1
    done
done
exit $failed
