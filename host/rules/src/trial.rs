//! Components tried by hand, bound to nobody.
//!
//! Owns what the plugin commands need: the same sandbox, limits and checks as in earnest, with every detail of how an evaluation
//! went. Everything here blocks the thread it is called on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use xnovu_domain::{Event, Verdict};

use crate::bindings_file::Config;
use crate::instance::{Conditions, Outcome};
use crate::sandbox::{Image, LoadError, Sandbox, SandboxError};
use crate::{BrokenKind, Compiler, Decided, Digest, Limits, LogLine};

/// A sandbox without rule threads, to try components in.
pub struct Workbench {
    sandbox: Arc<Sandbox>,
}

impl Workbench {
    /// Opens a sandbox that compiles with `compiler` and keeps compiled components under `cache_dir`.
    ///
    /// # Errors
    /// The sandbox cannot be set up.
    pub fn open(cache_dir: &Path, compiler: Compiler) -> Result<Self, SandboxError> {
        Ok(Self { sandbox: Arc::new(Sandbox::open(cache_dir, compiler, 1)?) })
    }

    /// Loads a component. Compiling may take seconds.
    ///
    /// # Errors
    /// The component is refused.
    pub fn trial(&self, wasm: &[u8], config: &serde_json::Value, limits: Limits) -> Result<Trial, LoadError> {
        Trial::load(self.sandbox.clone(), wasm, config, limits)
    }
}

/// A component with a config and limits, ready to be asked. Its log is always kept.
pub struct Trial {
    sandbox: Arc<Sandbox>,
    image: Arc<Image>,
    config: Config,
    limits: Limits,
}

/// How one evaluation went.
#[derive(Debug, Clone)]
pub struct Tried<T> {
    /// The answer, or how it failed and why.
    pub answer: Result<T, (BrokenKind, String)>,
    /// Fuel used.
    pub fuel: u64,
    /// Linear memory it had in the end, in bytes.
    pub memory_bytes: u64,
    /// Wall time.
    pub duration: Duration,
    /// What the component logged.
    pub log: Vec<LogLine>,
}

impl Trial {
    pub(crate) fn load(
        sandbox: Arc<Sandbox>,
        wasm: &[u8],
        config: &serde_json::Value,
        limits: Limits,
    ) -> Result<Self, LoadError> {
        let (bytes, limit) = (u64::try_from(wasm.len()).unwrap_or(u64::MAX), limits.component_bytes);
        if bytes > limit {
            return Err(LoadError::TooLarge { bytes, limit });
        }
        let image = sandbox.load(wasm)?;
        Ok(Self { sandbox, image, config: Config::new(config), limits })
    }

    /// Digest of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.image.digest()
    }

    /// Digest of the config.
    #[must_use]
    pub fn config_hash(&self) -> Digest {
        self.config.hash()
    }

    /// Holds the config against the schema the component carries, and asks `validate-config`. The inner error is what is wrong by the schema,
    /// else the component's own text, whole.
    #[must_use]
    pub fn validate_config(&self) -> Tried<Result<(), String>> {
        match self.image.check_config(&self.config) {
            Ok(()) => tried(self.conditions().validate_config()),
            Err(refusal) => Tried {
                answer: Ok(Err(refusal.to_string())),
                fuel: 0,
                memory_bytes: 0,
                duration: Duration::ZERO,
                log: Vec::new(),
            },
        }
    }

    /// Asks `admit`.
    #[must_use]
    pub fn admit(&self, event: Event) -> Tried<Verdict> {
        tried(self.conditions().admit(event))
    }

    /// Asks `admit` and, where it delivers, `transform`.
    #[must_use]
    pub fn decide(&self, event: Event) -> Tried<Decided> {
        tried(self.conditions().decide(event))
    }

    fn conditions(&self) -> Conditions<'_> {
        self.sandbox.conditions(&self.image, self.config.json(), &self.limits, true)
    }
}

fn tried<T>(outcome: Outcome<T>) -> Tried<T> {
    let Outcome { result, fuel, memory_bytes, duration, log } = outcome;
    Tried { answer: result.map_err(|fault| (fault.kind, fault.reason)), fuel, memory_bytes, duration, log }
}
