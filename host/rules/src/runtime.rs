//! The rules of every enterprise, running.
//!
//! Owns the set in force, the rule threads and the reload. Promises that a reload never interrupts an evaluation, that reloads do
//! not overlap, and that what cannot be loaded leaves what runs alone. Never decides when to reload: whoever holds it does.

mod evaluate;
mod rollback;

pub use rollback::{RollbackError, RolledBack};

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::watch;
use xnovu_domain::{EnterpriseId, Event, Verdict};

use crate::archive::Archive;
use crate::bindings_file::Subject;
use crate::breaker::{Breakers, RetryWaits};
use crate::known::Known;
use crate::pinned::{Pinned, Wanted};
use crate::pool::Pool;
use crate::reload::{Means, reload};
use crate::report::{Hinted, Report};
use crate::sandbox::{LoadError, Sandbox, SandboxError};
use crate::scan::{Found, FoundBindings, Scanner};
use crate::set::{Bound, Set};
use crate::standing::{self, Standing, State};
use crate::trial::Trial;
use crate::workshop::Workshop;
use crate::{Binding, Compiler, Decided, Limits, Pin, Rules, Ruling, threads};
use evaluate::Ask;

/// How long `bindings.toml` stays as it is before it takes somebody's rules away.
const UNBIND_AFTER: Duration = Duration::from_secs(30);

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
    /// How long `bindings.toml` must have stayed as it is before it takes the rules of somebody away who has some: a file that is being
    /// written, or was truncated to be written anew, names fewer than it will.
    pub unbind_after: Duration,
    /// How long a start waits for components that have to be compiled. Whoever is bound to one that is not by then is held until it is.
    /// None: for all of them.
    pub start_within: Option<Duration>,
    /// How long a version that fails too often is left alone before it is tried again.
    pub retry: RetryWaits,
}

impl RuntimeOptions {
    /// Two threads and the usual limits.
    #[must_use]
    pub fn new(plugins_dir: impl Into<PathBuf>, cache_dir: impl Into<PathBuf>, compiler: Compiler) -> Self {
        let (plugins_dir, cache_dir) = (plugins_dir.into(), cache_dir.into());
        Self {
            plugins_dir,
            cache_dir,
            compiler,
            threads: 2,
            limits: Limits::default(),
            unbind_after: UNBIND_AFTER,
            start_within: None,
            retry: RetryWaits::default(),
        }
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
    known: Known,
    set: ArcSwap<Set>,
    /// Number of that set, for whoever waits for another.
    generation: watch::Sender<u64>,
    /// What came of the last reload, or so far of the one under way.
    last: watch::Sender<Option<Report>>,
    pinned: Pinned,
    breakers: Breakers,
    /// Held while the set is replaced, never while anything is compiled.
    publishing: Mutex<()>,
    /// Held for as long as a reload lasts.
    scanner: Mutex<Scanner>,
}

impl Runtime {
    /// Loads what lies in the plugins' directory. A plugin or a binding that cannot be loaded is part of the report, and so is an
    /// empty or missing directory, which binds nobody. Who had rules in the last process of this cache directory and is bound no more by a
    /// `bindings.toml` that is missing, or was written a moment ago, is held.
    ///
    /// # Errors
    /// Rules cannot run at all, or `bindings.toml` is there and cannot be read.
    pub async fn open(options: RuntimeOptions) -> Result<(Self, Report), OpenError> {
        let known = Known::at(&options.cache_dir);
        let inner = Arc::new(Inner {
            sandbox: Arc::new(Sandbox::open(&options.cache_dir, options.compiler.clone(), options.threads)?),
            archive: Archive::open(&options.cache_dir)?,
            set: ArcSwap::from_pointee(Set::held(known.subjects()?)),
            known,
            generation: watch::Sender::new(0),
            last: watch::Sender::new(None),
            pinned: Pinned::default(),
            breakers: Breakers::new(options.retry),
            publishing: Mutex::default(),
            scanner: Mutex::new(Scanner::new(options.unbind_after)),
            options,
        });
        let pool = Pool::start(inner.options.threads)?;
        let runtime = Self { inner, pool };
        let report = runtime.load_first().await?;
        Ok((runtime, report))
    }

    /// What came of the first reload, or so far, where it takes longer than a start may wait for it. Who still has to wait is held.
    async fn load_first(&self) -> Result<Report, OpenError> {
        let inner = self.inner.clone();
        let loading = threads::aside("rules-reload", move || inner.load_first());
        let Some(wait) = self.inner.options.start_within else { return loading.await? };
        tokio::pin!(loading);
        if let Ok(loaded) = tokio::time::timeout(wait, &mut loading).await {
            return loaded?;
        }
        // Nothing may pass before it is known who has rules.
        let mut last = self.inner.last.subscribe();
        let so_far = async { last.wait_for(Option::is_some).await.ok().and_then(|report| report.clone()) };
        tokio::select! {
            loaded = &mut loading => loaded?,
            report = so_far => Ok(report.unwrap_or_default()),
        }
    }

    /// Brings what is loaded in line with what lies in the directory. What cannot be loaded leaves what runs alone. May be called
    /// at any time; calls follow each other.
    ///
    /// Cancellation safe: a reload that was begun is finished.
    pub async fn reconcile(&self) -> Report {
        self.reconcile_but(BTreeSet::new()).await
    }

    /// The same, but for plugins' directories and files beside them that are being written, by their names ([`crate::Watch::unsettled`]):
    /// of those, what was found last counts.
    ///
    /// Cancellation safe, as [`Runtime::reconcile`] is.
    pub async fn reconcile_but(&self, unsettled: BTreeSet<String>) -> Report {
        let inner = self.inner.clone();
        threads::aside("rules-reload", move || inner.reconcile(unsettled)).await.unwrap_or_else(|error| Report {
            generation: self.inner.set.load().generation(),
            notes: vec![Hinted::new(format!("the reload did not run: {error}"))],
            ..Report::default()
        })
    }

    /// What binds this enterprise now. None: nothing does, and its notifications pass unfiltered and unmapped.
    #[must_use]
    pub fn binding(&self, enterprise: &EnterpriseId) -> Option<Binding> {
        self.inner.set.load().binding(enterprise).cloned()
    }

    /// What is loaded now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Set> {
        self.inner.set.load_full()
    }

    /// Number of the set in force, to wait for another one: whatever was held for want of rules may be decided then.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.generation.subscribe()
    }

    /// How the rules of each subject stand.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let open = self.inner.breakers.open();
        self.inner.set.load().bindings.values().map(|bound| Standing::of(bound, &open)).collect()
    }

    /// In which state the rules of each subject are: what [`Runtime::standings`] says, without the figures.
    #[must_use]
    pub fn states(&self) -> Vec<(Subject, State)> {
        let open = self.inner.breakers.open();
        let set = self.inner.set.load();
        set.bindings.values().map(|bound| (bound.subject.clone(), standing::state(bound, &open).0)).collect()
    }

    /// Loads a component that binds nobody, to be tried. Blocks while it compiles.
    ///
    /// # Errors
    /// The component is refused.
    pub fn trial(&self, wasm: &[u8], config: &serde_json::Value, limits: Limits) -> Result<Trial, LoadError> {
        Trial::load(self.inner.sandbox.clone(), wasm, config, limits)
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
    fn knows_who_has_some(&self) -> bool {
        self.inner.set.load().informed
    }

    fn binds(&self, enterprise: &EnterpriseId) -> bool {
        self.inner.set.load().bound(enterprise).is_some()
    }

    async fn admit(&self, event: Event) -> Ruling<Verdict> {
        match self.bound(&event.notification.enterprise_id) {
            Some(bound) => self.ask(&bound, event, |conditions, event| conditions.admit(event)).await,
            None => Ruling::Unbound,
        }
    }

    async fn decide(&self, event: Event, pin: Option<&Pin>) -> Ruling<Decided> {
        let enterprise = &event.notification.enterprise_id;
        let Some(bound) = self.bound(enterprise) else { return Ruling::Unbound };
        let decide: Ask<Decided> = |conditions, event| conditions.decide(event);
        match pin {
            None => self.ask(&bound, event, decide).await,
            // What was fixed has answered this event before, so no breaker stands in its way.
            Some(pin) => {
                let bound = self.as_pinned(bound, enterprise, *pin).await;
                self.ask_pinned(bound, event, decide).await
            }
        }
    }
}

impl Inner {
    /// The first reload. It alone fails where nobody knows whom the bindings bind: later ones leave what runs alone.
    fn load_first(&self) -> Result<Report, OpenError> {
        let mut scanner = self.scanner.lock().unwrap_or_else(PoisonError::into_inner);
        let found = scanner.scan(&self.options.plugins_dir, &self.options.limits);
        if let FoundBindings::Unreadable(why) = found.bindings {
            return Err(OpenError::Bindings(why));
        }
        Ok(self.reconcile_with(&mut scanner, Some(found)))
    }

    fn reconcile(&self, unsettled: BTreeSet<String>) -> Report {
        let mut scanner = self.scanner.lock().unwrap_or_else(PoisonError::into_inner);
        scanner.leave(unsettled);
        self.reconcile_with(&mut scanner, None)
    }

    /// Puts in force what lies there, `found` already or not, and again when more of it is compiled.
    fn reconcile_with(&self, scanner: &mut Scanner, mut found: Option<Found>) -> Report {
        let mut workshop = Workshop::new(self.sandbox.clone());
        loop {
            let before = self.set.load_full();
            let scan = || scanner.scan(&self.options.plugins_dir, &self.options.limits);
            let mut found = found.take().unwrap_or_else(scan);
            workshop.order(&before, &found);
            workshop.wait();
            workshop.withhold(&mut found);
            // None: somebody rolled back meanwhile. What was compiled is there, and the rest is decided anew.
            let Some(report) = self.replace(before, &found) else { continue };
            self.last.send_replace(Some(report.clone()));
            if workshop.is_done() {
                return report;
            }
        }
    }

    /// Puts what was found in force; None where what it was to replace is no longer in force. What was found must be no older than that.
    fn replace(&self, before: Arc<Set>, found: &Found) -> Option<Report> {
        let failing = |subject: &Subject, pin: &Pin| {
            self.breakers.open().iter().any(|open| open.subject == *subject && open.pin == *pin)
        };
        let means = Means { sandbox: &self.sandbox, archive: &self.archive, failing: &failing };
        let (after, report) = reload(means, &before, found);
        let after = Arc::new(after);
        if !self.publish(&before, &after) {
            return None;
        }
        drop(before);
        if report.changed {
            self.remember(&after);
            let kept = self.archive.digests();
            self.sandbox
                .tidy(|digest| kept.contains(&digest) || after.holds(digest) || after.refused.contains_key(&digest));
        }
        Some(report)
    }

    /// Puts a set in the place of the one it was made from; false where that is no longer in force.
    fn publish(&self, before: &Arc<Set>, after: &Arc<Set>) -> bool {
        let _one_at_a_time = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = Arc::ptr_eq(before, &self.set.load());
        if current {
            self.put_in_force(after);
        }
        current
    }

    /// Remembers whom a set binds, for the next start.
    fn remember(&self, set: &Set) {
        if let Err(error) = self.known.keep(set.bindings.keys()) {
            tracing::warn!(%error, "who has rules could not be remembered for the next start");
        }
    }

    fn put_in_force(&self, set: &Arc<Set>) {
        self.set.store(set.clone());
        self.generation.send_if_modified(|last| std::mem::replace(last, set.generation()) != set.generation());
    }
}
