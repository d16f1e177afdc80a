//! The WebAssembly engine, set once for every component of this process, and the clock that interrupts what runs too long.
//!
//! Owns the settings that decide what compiled code looks like, the pool of instances, and the ticker. Promises that an evaluation
//! is deterministic (canonical NaNs, no threads, no relaxed SIMD) and that the same settings give the same artifact hash. Never
//! runs a component itself.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::capability::CAPABILITIES;
use crate::limits::{MEMORY_BYTES_MAX, TABLE_ELEMENTS_MAX};
use crate::{Digest, threads};

/// Length of a tick: the grain of wall-time limits.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks without work after which the ticker sleeps until there is some.
const IDLE_TICKS: u32 = 1000;

/// Machine stack a component may use, in bytes.
const WASM_STACK_BYTES: usize = 512 * 1024;

/// Memory of a slot that stays resident between evaluations, in bytes. Resetting it costs a copy; returning it to the system and
/// faulting it in again costs several times as much; but a slot keeps them also when the component is gone, so each reload may leave as much behind.
const RESIDENT_BYTES: usize = 128 * 1024;

/// Up to here a memory's first contents are kept as they will lie in it, in bytes, with whatever nobody wrote between. Beyond, only where half of it
/// was written: a few bytes far apart must not become megabytes of compiled component.
const SPARSE_IMAGE_BYTES_MAX: u64 = 1024 * 1024;

/// Core instances, memories and tables of one component. Interpreters are made of many modules.
const CORE_INSTANCES_MAX: u32 = 64;
const MEMORIES_MAX: u32 = 4;
const TABLES_MAX: u32 = 32;

/// Evaluations outside the rule threads that may be alive at once: config checks and trials.
const SPARE_INSTANCES: u32 = 8;

/// Memory slots kept warm. A slot remembers the component it last held, so this is how many components stay fast. Each costs 4 GiB
/// of addresses and, once used, the pages its component wrote to.
const WARM_SLOTS: u32 = 1024;

/// The engine and its ticker.
pub(crate) struct Engine {
    wasm: wasmtime::Engine,
    ticker: Ticker,
    artifact_hash: Digest,
}

impl Engine {
    /// An engine for that many rule threads.
    ///
    /// # Errors
    /// The pool cannot be reserved (it needs terabytes of *virtual* memory, so `ulimit -v` must be unlimited), or no thread is left.
    pub(crate) fn new(rule_threads: u32) -> wasmtime::Result<Self> {
        let wasm = wasmtime::Engine::new(&config(rule_threads))?;
        let ticker = Ticker::start(&wasm)?;
        let artifact_hash = artifact_hash(&wasm);
        Ok(Self { wasm, ticker, artifact_hash })
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    /// What an artifact must have been compiled for, and its component checked against, to run here: the engine's version, its
    /// settings and this CPU, this version of the host, the contract and the capabilities.
    pub(crate) fn artifact_hash(&self) -> Digest {
        self.artifact_hash
    }

    /// Keeps the ticker awake for as long as the guard lives.
    pub(crate) fn running(&self) -> Running<'_> {
        self.ticker.running()
    }
}

/// An engine that only compiles: the same code, without the pool, for which a bounded process has no room.
///
/// # Errors
/// The engine cannot be set up.
pub(crate) fn compiler() -> wasmtime::Result<wasmtime::Engine> {
    let mut config = code();
    // One component at a time, on one thread: the host's other work comes first.
    config.parallel_compilation(false);
    wasmtime::Engine::new(&config)
}

fn config(rule_threads: u32) -> Config {
    let instances = rule_threads.saturating_add(SPARE_INSTANCES);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(instances.saturating_mul(MEMORIES_MAX).max(WARM_SLOTS))
        .total_tables(instances.saturating_mul(TABLES_MAX).max(WARM_SLOTS))
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(usize::try_from(MEMORY_BYTES_MAX).unwrap_or(usize::MAX))
        .max_unused_warm_slots(WARM_SLOTS)
        .linear_memory_keep_resident(RESIDENT_BYTES)
        .table_keep_resident(RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    let mut config = code();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// What decides how compiled code looks.
fn code() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .memory_guaranteed_dense_image_size(SPARSE_IMAGE_BYTES_MAX)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        // Nobody reads where in a component a trap was, and no unwinder passes through one: the host's panics are caught at its border.
        // Unwinding tables are told to the system's unwinder, one more for each component, and cost a start with a thousand of them dearly.
        .native_unwind_info(false)
        .generate_address_map(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(None);
    config
}

fn artifact_hash(engine: &wasmtime::Engine) -> Digest {
    let mut hasher = Sha256Hasher(Sha256::new());
    (env!("CARGO_PKG_VERSION"), include_str!("../../../wit/rules.wit")).hash(&mut hasher);
    for capability in &CAPABILITIES {
        capability.name.hash(&mut hasher);
    }
    engine.precompile_compatibility_hash().hash(&mut hasher);
    Digest::from_bytes(hasher.0.finalize().into())
}

/// The standard library's hasher may change between compilers; a name on disk must not.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        u64::from_le_bytes(digest[..8].try_into().expect("eight of 32 bytes are eight bytes"))
    }
}

/// Advances the engine's epoch once a tick while something runs.
struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

struct Shared {
    running: AtomicUsize,
    stop: AtomicBool,
}

/// An evaluation under way.
pub(crate) struct Running<'a>(&'a Ticker);

impl Ticker {
    fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { running: AtomicUsize::new(0), stop: AtomicBool::new(false) });
        let (theirs, weak) = (shared.clone(), engine.weak());
        let handle = threads::start("rules-epoch".to_owned(), move || {
            let mut idle_ticks = 0;
            while !theirs.stop.load(Ordering::Acquire) {
                let Some(engine) = weak.upgrade() else { return };
                if theirs.running.load(Ordering::Acquire) > 0 {
                    idle_ticks = 0;
                } else if idle_ticks >= IDLE_TICKS {
                    drop(engine);
                    // Whoever begins to run, or stops us, after the checks above has left a token that ends this at once.
                    thread::park();
                    idle_ticks = 0;
                    continue;
                }
                thread::sleep(TICK);
                engine.increment_epoch();
                idle_ticks += 1;
            }
        })?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    fn running(&self) -> Running<'_> {
        if self.shared.running.fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread.unpark();
        }
        Running(self)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_settings_give_the_same_artifact_hash() {
        let (one, other) = (Engine::new(1).unwrap(), Engine::new(4).unwrap());
        assert_eq!(one.artifact_hash(), other.artifact_hash(), "the size of the pool is no matter of code");
        let plain = wasmtime::Engine::new(&Config::new()).unwrap();
        assert_ne!(one.artifact_hash(), artifact_hash(&plain), "fuel and epoch are");
        assert_eq!(one.artifact_hash(), artifact_hash(&compiler().unwrap()), "what compiles makes what runs");
    }
}
