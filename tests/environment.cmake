# Read by ctest before the tests: the environment that they need. What the caller has set stays.

function(frx_default variable value)
    if(NOT DEFINED ENV{${variable}})
        set(ENV{${variable}} ${value})
    endif()
endfunction()

frx_default(FRX_REFERENCE_DIR ${CMAKE_CURRENT_LIST_DIR}/../../shared/reference)
# Open MPI refuses to run as root and to start more ranks than there are cores.
frx_default(OMPI_ALLOW_RUN_AS_ROOT 1)
frx_default(OMPI_ALLOW_RUN_AS_ROOT_CONFIRM 1)
frx_default(OMPI_MCA_rmaps_base_oversubscribe 1)
frx_default(HWLOC_COMPONENTS -gl)  # else hwloc asks for an X display, and the name server where /etc/hosts is missing
frx_default(OMP_WAIT_POLICY passive)  # ranks share cores here: waiting threads must not spin
frx_default(UBSAN_OPTIONS print_stacktrace=1)
