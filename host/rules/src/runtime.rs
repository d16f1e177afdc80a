//! The rules of every enterprise, running.
//!
//! Owns the set in force, the rule threads and the reload. Promises that a reload never interrupts an evaluation, that reloads do
//! not overlap, and that what cannot be loaded leaves what runs alone. Never decides when to reload: whoever holds it does.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use thiserror::Error;
use xnovu_domain::{EnterpriseId, Event, Verdict};

use crate::archive::Archive;
use crate::instance::{Conditions, Outcome};
use crate::pinned::{Pinned, Wanted};
use crate::pool::{Pool, PoolError};
use crate::reload::reload;
use crate::report::{Hinted, Report};
use crate::sandbox::{LoadError, Sandbox, SandboxError};
use crate::scan::{FoundBindings, Scanner, scan_bindings};
use crate::set::{Bound, Set};
use crate::trial::Trial;
use crate::{
    Binding, BindingState, Broken, BrokenKind, Compiler, Decided, FailurePolicy, Limits, Pin, Ruled, Rules, Ruling,
    threads,
};

/// Where rules lie and how they run.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// Directory of `bindings.toml` and the plugins.
    pub plugins_dir: PathBuf,
    /// Directory for compiled components and for those kept for retries. It is made private to this user; its parent holds the key.
    pub cache_dir: PathBuf,
    /// Where components are compiled.
    pub compiler: Compiler,
    /// Number of rule threads, at least 1. With one, an enterprise that uses all its time delays every other.
    pub threads: u32,
    /// What an evaluation may use where its binding does not say.
    pub limits: Limits,
}

impl RuntimeOptions {
    /// Two threads and the usual limits.
    #[must_use]
    pub fn new(plugins_dir: impl Into<PathBuf>, cache_dir: impl Into<PathBuf>, compiler: Compiler) -> Self {
        let (plugins_dir, cache_dir) = (plugins_dir.into(), cache_dir.into());
        Self { plugins_dir, cache_dir, compiler, threads: 2, limits: Limits::default() }
    }
}

/// Rules cannot run at all.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The sandbox cannot be set up.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The system has no thread left, or the archive cannot be created.
    #[error("the rules cannot start")]
    Io(#[from] std::io::Error),
    /// `bindings.toml` cannot be read, so nobody knows whom it binds, and nothing may pass.
    #[error("the bindings cannot be read: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Bindings(Vec<Hinted>),
}

/// The rules of every enterprise. Dropping it ends its threads after what they are doing.
pub struct Runtime {
    inner: Arc<Inner>,
    pool: Pool,
}

struct Inner {
    options: RuntimeOptions,
    sandbox: Arc<Sandbox>,
    archive: Archive,
    set: ArcSwap<Set>,
    pinned: Pinned,
    /// Held for as long as a reload lasts.
    scanner: Mutex<Scanner>,
}

impl Runtime {
    /// Loads what lies in the plugins' directory. A plugin or a binding that cannot be loaded is part of the report, and so is an
    /// empty or missing directory, which binds nobody.
    ///
    /// # Errors
    /// Rules cannot run at all, or `bindings.toml` is there and cannot be read.
    pub async fn open(options: RuntimeOptions) -> Result<(Self, Report), OpenError> {
        if let FoundBindings::Unreadable(why) = scan_bindings(&options.plugins_dir, &options.limits) {
            return Err(OpenError::Bindings(why));
        }
        let inner = Inner {
            sandbox: Arc::new(Sandbox::open(&options.cache_dir, options.compiler.clone(), options.threads)?),
            archive: Archive::open(&options.cache_dir)?,
            set: ArcSwap::default(),
            pinned: Pinned::default(),
            scanner: Mutex::default(),
            options,
        };
        let pool = Pool::start(inner.options.threads)?;
        let runtime = Self { inner: Arc::new(inner), pool };
        let report = runtime.reconcile().await;
        Ok((runtime, report))
    }

    /// Brings what is loaded in line with what lies in the directory. What cannot be loaded leaves what runs alone. May be called
    /// at any time; calls follow each other.
    ///
    /// Cancellation safe: a reload that was begun is finished.
    pub async fn reconcile(&self) -> Report {
        let inner = self.inner.clone();
        threads::aside("rules-reload", move || inner.reconcile()).await.unwrap_or_else(|error| Report {
            generation: self.inner.set.load().generation(),
            notes: vec![Hinted::new(format!("the reload did not run: {error}"))],
            ..Report::default()
        })
    }

    /// What is loaded now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Set> {
        self.inner.set.load_full()
    }

    /// Loads a component that binds nobody, to be tried. Blocks while it compiles.
    ///
    /// # Errors
    /// The component is refused.
    pub fn trial(&self, wasm: &[u8], config: &serde_json::Value, limits: Limits) -> Result<Trial, LoadError> {
        Trial::load(self.inner.sandbox.clone(), wasm, config, limits)
    }

    async fn evaluate<T: Send + 'static>(
        &self,
        bound: Arc<Bound>,
        event: Event,
        ask: impl FnOnce(Conditions<'_>, Event) -> Outcome<T> + Send + 'static,
    ) -> Ruling<T> {
        if bound.running.is_none() {
            return Ruling::Broken(not_loaded(&bound.binding));
        }
        let enterprise = event.notification.enterprise_id.clone();
        let (sandbox, theirs) = (self.inner.sandbox.clone(), bound.clone());
        let work = move || {
            let running = theirs.running.as_ref()?;
            let entry = &running.entry;
            let image = &running.plugin.image;
            Some(ask(sandbox.conditions(image, entry.config.json(), &entry.limits, entry.log_guest), event))
        };
        match self.pool.run(&enterprise, work).await {
            Ok(Some(outcome)) => ruling(&bound.binding, outcome),
            Ok(None) => Ruling::Broken(not_loaded(&bound.binding)),
            Err(error @ (PoolError::Full | PoolError::Lost)) => {
                Ruling::Broken(broken(&bound.binding, BrokenKind::Overloaded, error.to_string()))
            }
        }
    }

    fn bound(&self, enterprise: &EnterpriseId) -> Option<Arc<Bound>> {
        self.inner.set.load().bound(enterprise).cloned()
    }

    /// The state a pin asks for, or the current one where that cannot be had any more.
    async fn as_pinned(&self, bound: Arc<Bound>, enterprise: &EnterpriseId, pin: Pin) -> Arc<Bound> {
        if bound.is(&pin) {
            return bound;
        }
        let set = self.inner.set.load_full();
        let wanted = Wanted { enterprise: enterprise.clone(), pin, generation: set.generation() };
        if let Some(found) = self.inner.pinned.recall(&wanted) {
            return found;
        }
        let (inner, current) = (self.inner.clone(), bound.clone());
        let find = move || inner.pinned.find(&inner.sandbox, &inner.archive, &set, &current, wanted);
        threads::aside("rules-pinned", find).await.ok().flatten().unwrap_or(bound)
    }
}

#[async_trait]
impl Rules for Runtime {
    fn binding(&self, enterprise: &EnterpriseId) -> Option<Binding> {
        self.inner.set.load().binding(enterprise).cloned()
    }

    async fn admit(&self, event: Event) -> Ruling<Verdict> {
        match self.bound(&event.notification.enterprise_id) {
            Some(bound) => self.evaluate(bound, event, |conditions, event| conditions.admit(event)).await,
            None => Ruling::Unbound,
        }
    }

    async fn decide(&self, event: Event, pin: Option<&Pin>) -> Ruling<Decided> {
        let enterprise = &event.notification.enterprise_id;
        let Some(mut bound) = self.bound(enterprise) else { return Ruling::Unbound };
        if let Some(pin) = pin {
            bound = self.as_pinned(bound, enterprise, *pin).await;
        }
        self.evaluate(bound, event, |conditions, event| conditions.decide(event)).await
    }
}

impl Inner {
    fn reconcile(&self) -> Report {
        let mut scanner = self.scanner.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.set.load_full();
        let found = scanner.scan(&self.options.plugins_dir, &self.options.limits);
        let (after, report) = reload(&self.sandbox, &self.archive, &before, &found);
        let after = Arc::new(after);
        self.set.store(after.clone());
        drop(before);
        if report.changed {
            let kept = self.archive.digests();
            self.sandbox.tidy(|digest| kept.contains(&digest) || after.holds(digest));
        }
        report
    }
}

fn ruling<T>(binding: &Binding, outcome: Outcome<T>) -> Ruling<T> {
    let Outcome { result, fuel, duration, log, .. } = outcome;
    match (result, binding.stamp.clone()) {
        (Ok(answer), Some(stamp)) => Ruling::Ruled(Ruled { answer, stamp, fuel, duration, log }),
        (Err(fault), _) => Ruling::Broken(broken(binding, fault.kind, fault.reason)),
        (Ok(_), None) => Ruling::Broken(not_loaded(binding)),
    }
}

fn broken(binding: &Binding, kind: BrokenKind, reason: String) -> Broken {
    Broken { kind, reason, policy: binding.policy, stamp: binding.stamp.clone() }
}

/// Rules that are missing hold, whatever the policy: a forgotten build must not drop or deliver what they were to decide.
fn not_loaded(binding: &Binding) -> Broken {
    let reason = match &binding.state {
        BindingState::NotLoaded { reason } => reason.clone(),
        BindingState::Ready | BindingState::LastGood { .. } => "it does not run".to_owned(),
    };
    Broken { kind: BrokenKind::NotLoaded, reason, policy: FailurePolicy::Hold, stamp: None }
}
