/* EquiNorm: Equi-normalization of neural networks, as a C library.
 *
 * Every function returns a status; nothing throws across this border. en_last_error() tells what went wrong on the calling thread.
 * A session serves one caller at a time: a call while another is under way returns EN_BUSY and does nothing. Different sessions are
 * independent. Tensors stay the caller's: they are read and written only within en_session_step, _solve and _apply (on CUDA: by work
 * put on the stream given there), and must live until then. A call that fails has written nothing.
 *
 * Handles are numbers, not addresses: one that was freed is refused. Other pointers are followed: null is refused, garbage is not noticed.
 */
#ifndef EQUINORM_H
#define EQUINORM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define EN_API __declspec(dllimport)
#else
#define EN_API
#endif

#define EN_ABI_VERSION 1

typedef struct en_network en_network;
typedef struct en_session en_session;

typedef enum en_status {
    EN_OK = 0,
    EN_INVALID_ARGUMENT = 1, /* a null pointer, a closed handle, a struct of a wrong size, a number out of range */
    EN_INVALID_NETWORK = 2,  /* the description of the network; the text names the place */
    EN_UNKNOWN_TENSOR = 3,   /* no weight of that name */
    EN_WRONG_TYPE = 4,       /* element type differs from the declared one */
    EN_WRONG_SHAPE = 5,      /* shape or strides differ from the declared ones, or overlap */
    EN_WRONG_DEVICE = 6,     /* the tensor, the stream or the context is not the session's */
    EN_NOT_BOUND = 7,        /* a weight has no elements yet, or its memory is gone (null) */
    EN_NON_FINITE = 8,       /* a weight holds a NaN or an infinity */
    EN_OUT_OF_RANGE = 9,     /* a factor or a magnitude leaves the range of float64 in a step; solve instead */
    EN_BUSY = 10,            /* another thread is using the session */
    EN_OUT_OF_MEMORY = 11,
    EN_CUDA_UNAVAILABLE = 12,
    EN_CUDA_ERROR = 13,
    EN_INTERNAL = 14         /* a defect of this library; please report the text */
} en_status;

typedef enum en_type { EN_FLOAT32 = 0, EN_FLOAT64 = 1, EN_FLOAT16 = 2, EN_BFLOAT16 = 3 } en_type;

/* DLPack's numbers. */
typedef enum en_device_kind { EN_CPU = 1, EN_CUDA = 2 } en_device_kind;

/* What a tensor holds that moves with a parameter. The parameter is multiplied by s. */
typedef enum en_companion {
    EN_COPY = 0,         /* s: a moving average, a float32 master copy, momentum that keeps its velocity */
    EN_FIRST_MOMENT = 1, /* 1/s: a gradient, momentum, exp_avg */
    EN_SECOND_MOMENT = 2 /* 1/s^2: exp_avg_sq, max_exp_avg_sq, a square average */
} en_companion;

typedef enum en_penalty { EN_PENALTY_UNIFORM = 0, EN_PENALTY_SIZE = 1, EN_PENALTY_DEPTH = 2 } en_penalty;

/* Begin with en_options_init, which sets the size and the defaults. */
typedef struct en_options {
    uint32_t size;             /* sizeof(en_options) of the caller */
    int32_t penalty;           /* en_penalty; default EN_PENALTY_UNIFORM */
    double p;                  /* exponent of the norm, > 0; default 2 */
    double c;                  /* of EN_PENALTY_DEPTH; default 1 */
    int32_t count_biases;      /* whether biases count in the norm; default 0 */
    int32_t coarse_correction; /* whether whole groups are corrected in a step; default 1 */
    int32_t sweeps_per_step;   /* default 1 */
    int32_t every;             /* only every n-th call of en_session_step does something; default 1 */
    int32_t threads;           /* CPU: 0 for one per processor, at most 1024 */
    int32_t device_kind;       /* en_device_kind; default EN_CPU */
    int32_t device_index;      /* CUDA: number of the device */
    int32_t reserved;          /* 0 */
} en_options;

typedef struct en_tensor {
    uint32_t size;        /* sizeof(en_tensor) of the caller */
    int32_t type;         /* en_type */
    int32_t device_kind;  /* en_device_kind */
    int32_t device_index; /* CUDA: number of the device */
    void* data;           /* first element */
    int32_t dimensions;   /* at most 16 */
    int32_t reserved;     /* 0 */
    const int64_t* shape;
    const int64_t* strides; /* in elements; null: contiguous */
} en_tensor;

typedef struct en_step_report {
    uint32_t size;           /* sizeof(en_step_report) of the caller */
    int32_t applied;         /* 0: nothing was written (no step, not the n-th call, or the weights were refused) */
    double objective_before; /* F before the step; NaN, as the residual, where nothing was read, and of en_session_apply */
    double residual;         /* max |log(norm in / norm out)| before the last update of single channels */
    int64_t frozen_channels; /* channels without incoming or outgoing weights: factor 1 */
    int64_t overflowed;      /* elements that were finite and are infinite now */
    int64_t underflowed;     /* elements that were not zero and are zero now */
} en_step_report;

typedef enum en_solve_state { EN_CONVERGED = 0, EN_SWEEP_LIMIT = 1, EN_STALLED = 2 } en_solve_state;

typedef struct en_solve_result {
    uint32_t size;           /* sizeof(en_solve_result) of the caller */
    int32_t state;           /* en_solve_state */
    double sweeps;
    double objective_before;
    double objective;
    double residual;
    double gap_bound;        /* certified bound on F / F* - 1; NaN where no bound can be had */
    int64_t frozen_channels;
} en_solve_result;

/* The library. */
EN_API int32_t en_abi_version(void);
EN_API const char* en_version(void);                  /* never null; owned by the library */
EN_API const char* en_last_error(void);               /* UTF-8; of the last failed call on this thread; valid until the next one */
EN_API const char* en_status_name(int32_t status);    /* "EN_WRONG_SHAPE" */
EN_API en_status en_cuda_device_count(int32_t* count); /* devices that can be used; 0 without a driver */

/* A network, from docs/network-json.md. */
EN_API en_status en_network_from_json(const char* json, size_t bytes, en_network** network);
EN_API void en_network_free(en_network* network);     /* null is allowed; sessions of it stay usable */
/* Writes a JSON document with the channel groups: {"groups": [{"name", "channels", "pinned": why or null, "sources": [names of weights that
 * write it], "sinks": [those that read it]}], "notes": [texts]}; biases are not listed. Returns EN_OK with *needed set (a final zero included)
 * also where the buffer is too small or null; then nothing is written. */
EN_API en_status en_network_groups(const en_network* network, char* buffer, size_t capacity, size_t* needed);

/* A session: a network, what is minimised, a device. */
EN_API en_status en_options_init(en_options* options, size_t size);
EN_API en_status en_session_create(const en_network* network, const en_options* options, en_session** session);
EN_API en_status en_session_free(en_session* session); /* null is allowed; EN_BUSY while a call is under way */

/* Binds a weight or bias; a null tensor takes it back. Takes effect at the next step, solve or apply; needs no new plan, and costs next to
 * nothing where the same tensor is bound already. The name ends in a zero, after at most 4096 bytes. */
EN_API en_status en_session_bind(en_session* session, const char* name, const en_tensor* tensor);
/* Binds a tensor that moves with a weight or bias in steps; slot tells several of one kind apart (0, 1, ...). Shape as the weight's;
 * type and strides may differ. */
EN_API en_status en_session_bind_companion(
    en_session* session, const char* name, int32_t kind, int32_t slot, const en_tensor* tensor);

/* Memory that steps need on the session's device, for what is bound now; a session allocates it itself unless it is given. */
EN_API en_status en_session_workspace_bytes(en_session* session, size_t* bytes);
/* Aligned to 256; it must live until the session is freed or takes other memory. Null and 0: memory of the session's own again. */
EN_API en_status en_session_set_workspace(en_session* session, void* workspace, size_t bytes);

/* Does before the first step what must not be done while a stream is captured: tables, kernels, memory. */
EN_API en_status en_session_prepare(en_session* session, void* stream);
/* One sweep (or sweeps_per_step), applied to everything that is bound. CPU: stream must be null, the work is done on return. CUDA: stream
 * is a CUstream / cudaStream_t (null: the legacy default stream); returns at once, and may be captured after en_session_prepare.
 * *applied (may be null): whether this was the n-th call. A CPU session returns EN_NON_FINITE at once, a CUDA session in the report. */
EN_API en_status en_session_step(en_session* session, void* stream, int32_t* applied);
/* What the last step did; waits for it. EN_NON_FINITE and EN_OUT_OF_RANGE, with the report filled in, if the weights were refused. */
EN_API en_status en_session_report(en_session* session, en_step_report* report);

/* Finds the factors of the optimum within a certified relative gap, starting from those of the last solve if warm is not 0. Writes no
 * tensor; en_session_apply does. */
EN_API en_status en_session_solve(
    en_session* session, void* stream, double tolerance, int32_t max_sweeps, int32_t warm, en_solve_result* result);
/* Multiplies everything that is bound by the factors of the last solve, once (inverse: takes the apply just before back).
 * EN_INVALID_ARGUMENT if no solve has found factors, or the weights were rescaled since. */
EN_API en_status en_session_apply(en_session* session, void* stream, int32_t inverse, en_step_report* report);

/* Natural logarithms of the factors that the last step or solve found, for one axis of a weight: outputs (0) or inputs (1).
 * count must be the length of the axis. Factors of 1 if there was no step, or it wrote nothing. */
EN_API en_status en_session_log_factors(
    en_session* session, const char* name, int32_t axis, double* factors, size_t count);

#ifdef __cplusplus
}
#endif

#endif
