//! From the bytes of a component to something that can be run.
//!
//! Owns the engine, the linker and the compiled images. Promises that identical components share one image, whatever they are
//! called and whoever they bind, and that nothing is compiled that was not checked first.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use thiserror::Error;
use wasmtime::component::{Component, Linker};

use crate::artifact::Artifacts;
use crate::bindings::contract::RulesPre;
use crate::compile::{CompileError, Compiler, words};
use crate::engine::Engine;
use crate::inspect::InspectError;
use crate::instance::{Conditions, Prepared, Rehearsed, State, rehearse};
use crate::{Digest, Limits, capability};

/// Longest a process waits for its turn to compile. Whoever has it compiles one component within its limits of processor time.
const TURN_WAIT: Duration = Duration::from_secs(60);

/// Compiles components and holds what it takes to run them.
pub(crate) struct Sandbox {
    engine: Engine,
    linker: Linker<State>,
    artifacts: Artifacts,
    compiler: Compiler,
    /// Images in use, so that the same component is not loaded twice. Who uses an image holds it; this does not.
    images: Mutex<HashMap<Digest, Weak<Image>>>,
}

/// A component, compiled and linked.
pub(crate) struct Image {
    digest: Digest,
    prepared: Prepared,
}

/// A component that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// It is refused for what it is.
    #[error(transparent)]
    Refused(#[from] InspectError),
    /// It does not compile within its limits, or needs more of the pool than a component may.
    #[error(transparent)]
    Compile(CompileError),
    /// It is larger than it may be.
    #[error("it has {bytes} bytes; at most {limit} are allowed (limits.component_bytes)")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// What the limit is.
        limit: u64,
    },
    /// Its imports or exports have other types than the contract's.
    #[error("it does not fit the contract: {0}")]
    Link(String),
    /// It ends while it is instantiated, before it is asked anything.
    #[error("it does not start: {0}")]
    Start(String),
}

impl From<CompileError> for LoadError {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Unfit(why) => Self::Refused(why),
            other => Self::Compile(other),
        }
    }
}

impl LoadError {
    /// Whether the component itself is at fault, so that another attempt would end alike.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Compile(error) => error.is_lasting(),
            Self::Refused(_) | Self::TooLarge { .. } | Self::Link(_) | Self::Start(_) => true,
        }
    }

    /// What mends it, where that is not plainly another build.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Compile(error) => error.hint(),
            Self::Refused(_) | Self::TooLarge { .. } | Self::Link(_) | Self::Start(_) => None,
        }
    }
}

/// The host cannot run components at all.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The engine cannot be set up.
    #[error(
        "the WebAssembly engine cannot start (it reserves terabytes of virtual memory; is `ulimit -v` unlimited?): {0:#}"
    )]
    Engine(wasmtime::Error),
    /// The directory of compiled components, or the key beside it, cannot be used.
    #[error("the cache of compiled components {path} cannot be used")]
    Cache {
        /// The directory.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Sandbox {
    /// A sandbox for that many rule threads, with its compiled components under `cache_dir`.
    ///
    /// # Errors
    /// The engine cannot be set up or the directory cannot be used.
    pub(crate) fn open(cache_dir: &Path, compiler: Compiler, rule_threads: u32) -> Result<Self, SandboxError> {
        let engine = Engine::new(rule_threads).map_err(SandboxError::Engine)?;
        let mut linker = Linker::new(engine.wasm());
        capability::link(&mut linker).map_err(SandboxError::Engine)?;
        let artifacts = Artifacts::open(cache_dir)
            .map_err(|source| SandboxError::Cache { path: cache_dir.display().to_string(), source })?;
        Ok(Self { engine, linker, artifacts, compiler, images: Mutex::default() })
    }

    /// The image of a component: the one in use, the cached one, or a new one. Compiling takes tens of milliseconds or seconds.
    ///
    /// # Errors
    /// The component is refused.
    pub(crate) fn load(&self, wasm: &[u8]) -> Result<Arc<Image>, LoadError> {
        let digest = Digest::of(wasm);
        self.known(digest).unwrap_or_else(|| self.load_new(digest, wasm))
    }

    /// The image of a component that was checked and compiled before: the one in use, or the cached one. Its bytes are not needed.
    pub(crate) fn known(&self, digest: Digest) -> Option<Result<Arc<Image>, LoadError>> {
        if let Some(image) = self.in_use(digest) {
            return Some(Ok(image));
        }
        let component = self.artifacts.find(&self.engine, digest)?;
        Some(self.link(&component).map(|prepared| self.hold(digest, prepared, true)))
    }

    /// The image of a component that is not known yet, under the digest of its bytes.
    ///
    /// # Errors
    /// The component is refused.
    pub(crate) fn load_new(&self, digest: Digest, wasm: &[u8]) -> Result<Arc<Image>, LoadError> {
        self.make(digest, wasm).map(|prepared| self.hold(digest, prepared, false))
    }

    fn hold(&self, digest: Digest, prepared: Prepared, cached: bool) -> Arc<Image> {
        tracing::debug!(%digest, cached, "component loaded");
        let image = Arc::new(Image { digest, prepared });
        self.images().insert(digest, Arc::downgrade(&image));
        image
    }

    /// Checks and compiles a component, and keeps its code.
    fn make(&self, digest: Digest, wasm: &[u8]) -> Result<Prepared, LoadError> {
        let limits = self.compiler.limits();
        let refused = || limits.and_then(|limits| self.artifacts.refusal(&self.engine, digest, limits));
        if let Some(why) = refused() {
            return Err(why.into());
        }
        let _turn = self.artifacts.turn(TURN_WAIT);
        // Whoever had the turn before may have compiled this very component.
        if let Some(component) = self.artifacts.find(&self.engine, digest) {
            return self.link(&component);
        }
        if let Some(why) = refused() {
            return Err(why.into());
        }
        let code = self.compiler.compile(wasm).inspect_err(|why| {
            if let (Some(limits), true) = (limits, why.is_costly()) {
                self.artifacts.keep_refusal(&self.engine, digest, limits, why);
            }
        })?;
        let component = self
            .artifacts
            .adopt(&self.engine, &code)
            .map_err(|error| LoadError::Compile(CompileError::Refused(words(&error))))?;
        let prepared = self.link(&component)?;
        rehearse(&self.engine, &prepared).map_err(|ended| match ended {
            Rehearsed::Unfit(error) => LoadError::Link(words(&error)),
            Rehearsed::Ended(fault) => LoadError::Start(fault.reason),
        })?;
        self.artifacts.keep(&self.engine, digest, &code);
        Ok(prepared)
    }

    fn link(&self, component: &Component) -> Result<Prepared, LoadError> {
        let linked = self.linker.instantiate_pre(component).and_then(RulesPre::new);
        linked.map_err(|error| LoadError::Link(words(&error)))
    }

    /// Whether it takes no compiling to load a component, or to refuse it.
    pub(crate) fn is_at_hand(&self, digest: Digest) -> bool {
        self.in_use(digest).is_some() || self.artifacts.has(&self.engine, digest)
    }

    /// The image of that digest, if anybody holds it.
    pub(crate) fn in_use(&self, digest: Digest) -> Option<Arc<Image>> {
        self.images().get(&digest)?.upgrade()
    }

    /// Forgets images nobody holds and removes compiled code nobody wants.
    pub(crate) fn tidy(&self, wanted: impl Fn(Digest) -> bool) {
        self.images().retain(|_, image| image.strong_count() > 0);
        if let Err(error) = self.artifacts.retain(&self.engine, wanted) {
            tracing::warn!(%error, "old compiled components could not be removed");
        }
    }

    /// What it takes to evaluate an image.
    pub(crate) fn conditions<'a>(
        &'a self,
        image: &'a Image,
        config: &'a str,
        limits: &'a Limits,
        log_guest: bool,
    ) -> Conditions<'a> {
        Conditions { engine: &self.engine, prepared: &image.prepared, config, limits, log_guest }
    }

    /// The map is a cache: one a panic left half changed is as good as any.
    fn images(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Weak<Image>>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Image {
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }
}
