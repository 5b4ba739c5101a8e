//! `kernels.wasm`: the sampler for browsers with relaxed SIMD, whose fused multiply-add makes it a
//! quarter faster. It imports nothing. A caller asks for [`room`], writes the bytes of a request
//! there, calls [`answer`], and finds the answer's bytes at [`answer_start`].

use gflownet_tour_speed::kernels::Kernels;
use std::cell::RefCell;

#[derive(Default)]
struct Desk {
    kernels: Kernels,
    request: Vec<u8>,
    answer: Vec<u8>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// Where a request of `len` bytes is to be written.
#[unsafe(no_mangle)]
pub extern "C" fn room(len: usize) -> *mut u8 {
    DESK.with_borrow_mut(|desk| {
        desk.request.clear();
        desk.request.resize(len, 0);
        desk.request.as_mut_ptr()
    })
}

/// Answers the request in the room. Returns the answer's length in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> usize {
    DESK.with_borrow_mut(|desk| {
        desk.answer = desk.kernels.answer(&desk.request);
        desk.answer.len()
    })
}

/// Where the last answer's bytes begin.
#[unsafe(no_mangle)]
pub extern "C" fn answer_start() -> *const u8 {
    DESK.with_borrow(|desk| desk.answer.as_ptr())
}
