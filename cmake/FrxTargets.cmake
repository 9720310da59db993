# How every library and program of flashrex is compiled, and whether there is CUDA.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)  # POSIX names; headers stay C11
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# CUDA has to be enabled before the first add_library, with architectures set: `native` fails on a machine without a GPU.
set(FRX_WITH_CUDA OFF)
if(NOT FRX_CUDA STREQUAL "OFF")
    if(NOT CMAKE_CUDA_ARCHITECTURES)
        set(CMAKE_CUDA_ARCHITECTURES 80 90 100 120)
    endif()
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
        enable_language(CUDA)
        set(CMAKE_CUDA_STANDARD 17)
        find_package(CUDAToolkit 12.1 REQUIRED)  # arguments of kernels beyond 4 KiB
        set(FRX_WITH_CUDA ON)
    elseif(FRX_CUDA STREQUAL "ON")
        message(FATAL_ERROR "FRX_CUDA=ON, but no CUDA compiler was found: set CUDACXX or install the CUDA toolkit")
    endif()
endif()

find_package(OpenMP REQUIRED COMPONENTS C)
if(FRX_MPI)
    find_package(MPI REQUIRED COMPONENTS C)
    set(HDF5_PREFER_PARALLEL ON)
    find_package(HDF5 REQUIRED COMPONENTS C)
    if(NOT HDF5_IS_PARALLEL)
        message(FATAL_ERROR "The HDF5 found is not parallel: install libhdf5-openmpi-dev, then configure with --fresh")
    endif()
    find_package(PkgConfig REQUIRED)
    pkg_check_modules(FYAML REQUIRED IMPORTED_TARGET libfyaml)
    add_library(fyaml ALIAS PkgConfig::FYAML)
    if(FRX_WITH_CUDA)  # without it configurations travel through host memory; -DCMAKE_DISABLE_FIND_PACKAGE_NCCL=ON forbids it
        find_package(NCCL 2.18)
    endif()
endif()

set(FRX_C_WARNINGS -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes)
set(FRX_CUDA_WARNINGS -Xcompiler=-Wall,-Wextra,-Wshadow)  # no -Wpedantic: it rejects the code that nvcc generates
if(FRX_WERROR)
    list(APPEND FRX_C_WARNINGS -Werror)
    list(APPEND FRX_CUDA_WARNINGS -Werror=all-warnings)
endif()

# frx_target_setup(target): warnings and sanitizers, for libraries, programs and tests alike
function(frx_target_setup target)
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANGUAGE:C>:${FRX_C_WARNINGS}> $<$<COMPILE_LANGUAGE:CUDA>:${FRX_CUDA_WARNINGS}>)
    if(FRX_SANITIZE)
        target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C>:-fsanitize=${FRX_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>)
        target_link_options(${target} PRIVATE -fsanitize=${FRX_SANITIZE})
    endif()
endfunction()

# frx_target_fast(target): what inner loops need. Not -ffast-math: NaN has to be noticed and sums keep their order.
function(frx_target_fast target)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C>:-O3;-fopenmp-simd;-fno-math-errno;-fno-trapping-math>)
    if(FRX_NATIVE)
        target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C>:-march=native>)
    endif()
endfunction()

# frx_add_library(name sources...): a static library whose headers lie in its own folder. A folder sees what it links and no
# more, which is how the direction of dependencies (ARCHITECTURE.md) is enforced.
function(frx_add_library name)
    add_library(${name} STATIC ${ARGN})
    target_include_directories(${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
    frx_target_setup(${name})
endfunction()
