//! From the bytes of a component to something that can be run.
//!
//! Owns the engine, the linker and the compiled images. Promises that identical components share one image, whatever they are
//! called and whoever they bind, and that nothing is compiled that was not checked first.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use thiserror::Error;
use wasmtime::component::Linker;

use crate::artifact::{Artifacts, Provenance};
use crate::bindings::contract::RulesPre;
use crate::engine::Engine;
use crate::inspect::{InspectError, inspect};
use crate::instance::{Conditions, Prepared, State, rehearse};
use crate::{Digest, Limits, capability};

/// Compiles components and holds what it takes to run them.
pub(crate) struct Sandbox {
    engine: Engine,
    linker: Linker<State>,
    artifacts: Artifacts,
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
    /// It does not compile, or needs more of the pool than a component may.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// Its imports or exports have other types than the contract's.
    #[error("it does not fit the contract: {0}")]
    Link(String),
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
    pub(crate) fn open(cache_dir: &Path, rule_threads: u32) -> Result<Self, SandboxError> {
        let engine = Engine::new(rule_threads).map_err(SandboxError::Engine)?;
        let mut linker = Linker::new(engine.wasm());
        capability::link(&mut linker).map_err(SandboxError::Engine)?;
        let artifacts = Artifacts::open(cache_dir)
            .map_err(|source| SandboxError::Cache { path: cache_dir.display().to_string(), source })?;
        Ok(Self { engine, linker, artifacts, images: Mutex::default() })
    }

    /// The image of a component: the one in use, the cached one, or a new one. Compiling takes tens of milliseconds or seconds.
    ///
    /// # Errors
    /// The component is refused.
    pub(crate) fn load(&self, wasm: &[u8]) -> Result<Arc<Image>, LoadError> {
        let digest = Digest::of(wasm);
        if let Some(image) = self.in_use(digest) {
            return Ok(image);
        }
        inspect(wasm)?.check()?;
        let (component, provenance) =
            self.artifacts.load(&self.engine, digest, wasm).map_err(|error| LoadError::Compile(words(&error)))?;
        let linked = self.linker.instantiate_pre(&component).and_then(RulesPre::new);
        let prepared = linked.map_err(|error| LoadError::Link(words(&error)))?;
        rehearse(&self.engine, &prepared).map_err(|error| LoadError::Link(words(&error)))?;
        tracing::debug!(%digest, cached = provenance == Provenance::Cached, "component loaded");
        let image = Arc::new(Image { digest, prepared });
        self.images().insert(digest, Arc::downgrade(&image));
        Ok(image)
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

/// The whole chain of an error of the engine on one line.
fn words(error: &wasmtime::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}
