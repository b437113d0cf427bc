//! A memory pool for results: each training step needs buffers of the same sizes as the previous one.
//!
//! Fresh memory costs a page fault every 4 KiB and is zeroed by the operating system; a buffer from the previous step costs
//! nothing and may still be in the cache. Buffers consist of lines of 64 bytes, so that vectors do not straddle cache lines.
//! The pool keeps a bounded amount of idle memory, and returns the rest to the allocator.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::sync::{LazyLock, Mutex, PoisonError};

use burn_flex::{Flex, FlexTensor, Layout};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};
use burn_tensor::Tensor;

/// Most idle bytes in the pool.
const IDLE_LIMIT: usize = 1 << 30;

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

#[derive(Default)]
struct Pool {
    idle: HashMap<usize, Vec<Vec<Line>>>,
    idle_bytes: usize,
}

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

impl Pool {
    fn take(lines: usize) -> Vec<Line> {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buffer) = pool.idle.get_mut(&lines).and_then(Vec::pop) {
            pool.idle_bytes -= lines * size_of::<Line>();
            return buffer;
        }
        drop(pool);
        vec![Line([0.0; 16]); lines]
    }

    fn give_back(buffer: Vec<Line>) {
        let bytes = buffer.len() * size_of::<Line>();
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.idle_bytes + bytes <= IDLE_LIMIT {
            pool.idle_bytes += bytes;
            pool.idle.entry(buffer.len()).or_default().push(buffer);
        }
    }
}

/// Returns all idle buffers to the allocator; useful before sizes change.
pub fn release_idle_memory() {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    *pool = Pool::default();
}

/// A buffer on loan to Burn; it returns to the pool when the last tensor over it is gone.
struct Loan(Vec<Line>);

impl Drop for Loan {
    fn drop(&mut self) {
        Pool::give_back(std::mem::take(&mut self.0));
    }
}

impl AllocationController for Loan {
    fn alloc_align(&self) -> usize {
        align_of::<Line>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.0);
        // SAFETY: the caller promises to write initialized bytes only, which is what the memory holds anyway.
        Ok(unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes: &[u8] = bytemuck::cast_slice(&self.0);
        // SAFETY: initialized bytes are valid as possibly uninitialized ones.
        Ok(unsafe { &*(std::ptr::from_ref(bytes) as *const [MaybeUninit<u8>]) })
    }
}

/// A new tensor of `shape` that `fill` must write completely; its initial contents are unspecified.
pub(crate) fn filled<const D: usize>(shape: [usize; D], fill: impl FnOnce(&mut [f32])) -> FlexTensor {
    let length: usize = shape.iter().product();
    let mut loan = Loan(Pool::take(length.div_ceil(16)));
    fill(&mut bytemuck::cast_slice_mut(&mut loan.0)[..length]);
    // SAFETY: the loan holds at least `length` floats, all initialized.
    let bytes = unsafe { Bytes::from_controller(Box::new(loan), length * size_of::<f32>()) };
    FlexTensor::new(bytes, Layout::contiguous(shape.into()), burn_tensor::DType::F32)
}

/// A new tensor on the CPU, `[rows, columns]`, that `fill` must write completely; its initial contents are unspecified.
pub fn filled_tensor(rows: usize, columns: usize, fill: impl FnOnce(&mut [f32])) -> Tensor<2> {
    Tensor::from_primitive::<Flex>(filled([rows, columns], fill))
}
