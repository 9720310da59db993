# version.h (target frx_version): what `flashrex --version` says. The commit is asked for at every build, by this same file run
# as a script; the header is rewritten only when something in it changed.

if(CMAKE_SCRIPT_MODE_FILE)
    execute_process(COMMAND git describe --tags --always --dirty WORKING_DIRECTORY ${SOURCE_DIR}
        OUTPUT_VARIABLE FRX_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(NOT FRX_COMMIT)
        set(FRX_COMMIT unknown)
    endif()
    configure_file(${HEADER}.in ${HEADER} @ONLY)
    return()
endif()

set(FRX_BUILD_TARGET "${CMAKE_SYSTEM_NAME} ${CMAKE_SYSTEM_PROCESSOR}")
if(FRX_NATIVE)
    string(APPEND FRX_BUILD_TARGET ", tuned for the machine it was built on")
endif()
set(FRX_BUILD_LIBRARIES "OpenMP ${OpenMP_C_VERSION}")
if(FRX_MPI)
    string(APPEND FRX_BUILD_LIBRARIES ", MPI ${MPI_C_VERSION}, HDF5 ${HDF5_VERSION} (parallel), libfyaml ${FYAML_VERSION}")
endif()
set(FRX_BUILD_CUDA "none")
if(FRX_WITH_CUDA)
    list(JOIN CMAKE_CUDA_ARCHITECTURES " " FRX_BUILD_CUDA)
    set(FRX_BUILD_CUDA "${CUDAToolkit_VERSION}, architectures ${FRX_BUILD_CUDA}")
    if(NCCL_FOUND)
        string(APPEND FRX_BUILD_CUDA ", NCCL ${NCCL_VERSION}")
    endif()
endif()

set(FRX_COMMIT "@FRX_COMMIT@")  # filled in by the script
set(FRX_VERSION_HEADER ${PROJECT_BINARY_DIR}/generated/version.h)
configure_file(${CMAKE_CURRENT_LIST_DIR}/version.h.in ${FRX_VERSION_HEADER}.in @ONLY)
add_custom_target(frx_version_header BYPRODUCTS ${FRX_VERSION_HEADER} COMMENT "Version"
    COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -DHEADER=${FRX_VERSION_HEADER} -P ${CMAKE_CURRENT_LIST_FILE})
add_library(frx_version INTERFACE)
target_include_directories(frx_version INTERFACE ${PROJECT_BINARY_DIR}/generated)
add_dependencies(frx_version frx_version_header)
