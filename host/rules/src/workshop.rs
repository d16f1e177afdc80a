//! Compiles what a reload needs, while the reload goes on with what needs no compiling.
//!
//! Owns one thread and its list of work. Promises that a component which compiles long, or never, holds up only those who are bound to it:
//! everybody else's rules are in force within [`PATIENCE`], and the smallest components come first. Never decides what is loaded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::plan::{PluginStep, plan};
use crate::report::Hinted;
use crate::sandbox::{Image, LoadError, Sandbox};
use crate::scan::{Found, FoundComponent};
use crate::set::Set;
use crate::{Digest, threads};

/// How long a reload waits for components before it puts in force what it has.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of a component.
enum Made {
    /// It is held here so that it is not compiled again before the reload has taken it.
    Ready(#[expect(dead_code, reason = "who holds an image keeps it")] Arc<Image>),
    /// It is refused for good. The reload finds that out for itself, at little cost.
    Refused,
    /// It was not compiled, and may be the next time.
    Failed(Hinted),
}

/// What one reload has compiled and has yet to compile.
pub(crate) struct Workshop {
    sandbox: Arc<Sandbox>,
    orders: Option<Sender<FoundComponent>>,
    results: Option<Receiver<(Digest, Made)>>,
    asked: HashSet<Digest>,
    made: HashMap<Digest, Made>,
}

impl Workshop {
    pub(crate) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox, orders: None, results: None, asked: HashSet::new(), made: HashMap::new() }
    }

    /// Has compiled what would be loaded and is not at hand.
    pub(crate) fn order(&mut self, set: &Set, found: &Found) {
        let load = plan(&set.loaded(), found).plugins.into_iter().filter(|(_, step)| *step == PluginStep::Load);
        let components = load.filter_map(|(name, _)| Some(&found.plugins.get(&name)?.as_ref().ok()?.component));
        let mut new: Vec<_> = components.filter(|it| !self.sandbox.is_at_hand(it.digest)).collect();
        new.retain(|component| !self.asked.contains(&component.digest));
        new.sort_by_key(|component| component.bytes);
        for component in new {
            // Without a thread the reload compiles for itself.
            let Some(orders) = self.orders() else { return };
            if orders.send(component.clone()).is_ok() {
                self.asked.insert(component.digest);
            }
        }
    }

    fn orders(&mut self) -> Option<&Sender<FoundComponent>> {
        if self.orders.is_none() {
            let ((orders, taken), (tell, results)) = (channel::<FoundComponent>(), channel());
            let sandbox = self.sandbox.clone();
            let work = move || {
                for component in taken {
                    if tell.send((component.digest, make(&sandbox, &component))).is_err() {
                        return;
                    }
                }
            };
            threads::start("rules-compile".to_owned(), work).ok()?;
            (self.orders, self.results) = (Some(orders), Some(results));
        }
        self.orders.as_ref()
    }

    /// Waits for what was ordered, for a while.
    pub(crate) fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_done() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(Ok((digest, made))) = self.results.as_ref().map(|results| results.recv_timeout(left)) else {
                return;
            };
            self.made.insert(digest, made);
        }
    }

    /// Leaves out of what was found what is not compiled yet.
    pub(crate) fn withhold(&self, found: &mut Found) {
        for plugin in found.plugins.values_mut() {
            let Ok(there) = plugin else { continue };
            let why = match self.made.get(&there.component.digest) {
                Some(Made::Ready(_) | Made::Refused) => continue,
                Some(Made::Failed(why)) => why.clone(),
                None if self.asked.contains(&there.component.digest) => Hinted::new("it is being compiled"),
                None => continue,
            };
            *plugin = Err(why);
        }
    }

    /// Whether everything that was ordered is made.
    pub(crate) fn is_done(&self) -> bool {
        self.made.len() == self.asked.len()
    }
}

fn make(sandbox: &Sandbox, component: &FoundComponent) -> Made {
    let image = component.read().map(|wasm| sandbox.load(&wasm));
    match image {
        Ok(Ok(image)) => Made::Ready(image),
        Ok(Err(error)) if error.is_lasting() => Made::Refused,
        Ok(Err(error)) => Made::Failed(hinted(&error)),
        Err(why) => Made::Failed(why),
    }
}

fn hinted(error: &LoadError) -> Hinted {
    let why = Hinted::new(error.to_string());
    match error.hint() {
        Some(hint) => why.hint(hint),
        None => why,
    }
}
