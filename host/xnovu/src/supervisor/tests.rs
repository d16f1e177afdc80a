use std::path::Path;
use std::time::Duration;

use super::*;

/// A shell in the place of a worker: it ends when its standard input does, unless the script says otherwise.
fn shell(script: &str) -> Program {
    Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()], health_base: None }
}

struct Scene {
    supervisor: Arc<Supervisor>,
    tasks: Tasks,
    stop: CancellationToken,
    ended: Arc<Mutex<Option<usize>>>,
}

impl Scene {
    fn start(program: Program, target: usize) -> Self {
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        let supervisor = Supervisor::new(program, target, tasks.clone());
        let ended = Arc::new(Mutex::new(None));
        let (running, token, told) = (Arc::clone(&supervisor), stop.clone(), Arc::clone(&ended));
        tasks.spawn("supervisor", async move {
            let failed = running.run(token).await;
            *told.lock().unwrap() = Some(failed);
        });
        Self { supervisor, tasks, stop, ended }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Fleet) -> bool) -> Fleet {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                let fleet = self.supervisor.fleet();
                if holds(&fleet) {
                    return fleet;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("waited in vain until {what}: {:?}", self.supervisor.fleet()))
    }

    /// Ends it; answers how many workers ended badly.
    async fn end(self) -> usize {
        self.stop.cancel();
        assert_eq!(self.tasks.wait(Duration::from_secs(30)).await, Vec::<&str>::new());
        self.ended.lock().unwrap().expect("it has ended")
    }
}

fn numbers(fleet: &Fleet) -> Vec<u32> {
    fleet.workers.iter().map(|kept| kept.number).collect()
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn the_newest_drain_when_there_are_too_many_and_new_ones_start_when_there_are_too_few() {
    let scene = Scene::start(shell("cat"), 3);
    let three = scene.until("three run", Fleet::is_reached).await;
    assert_eq!(numbers(&three), [1, 2, 3]);
    scene.supervisor.scale(1);
    let one = scene.until("one runs", |fleet| fleet.is_reached() && fleet.target == 1).await;
    assert_eq!(one.workers, three.workers[..1]);
    assert!(three.workers[1..].iter().all(|kept| !is_alive(kept.pid.unwrap())));
    scene.supervisor.scale(2);
    let two = scene.until("two run", |fleet| fleet.is_reached() && fleet.target == 2).await;
    assert_eq!(numbers(&two), [1, 4]);
    scene.supervisor.scale(0);
    scene.until("none runs", |fleet| fleet.is_reached() && fleet.target == 0).await;
    assert_eq!(scene.end().await, 0);
}

#[tokio::test]
async fn a_worker_that_crashes_is_started_again_and_one_that_was_sent_away_is_not() {
    let dir = tempfile::tempdir().unwrap();
    // The first worker that is started crashes, the second is sent away, all others stay.
    let script = format!(
        "cd {}; if mkdir first 2>/dev/null; then exit 3; elif mkdir second 2>/dev/null; then exit 0; else cat; fi",
        dir.path().display()
    );
    let scene = Scene::start(shell(&script), 1);
    let crashed = scene.until("it crashed", |fleet| fleet.workers.iter().any(|kept| kept.restarts == 1)).await;
    assert_eq!(crashed.workers[0].stage, Stage::Waiting);
    let sent_away = scene.until("it was sent away", |fleet| fleet.workers.is_empty()).await;
    assert_eq!(sent_away.target, 0);
    scene.supervisor.scale(1);
    scene.until("another runs", |fleet| fleet.is_reached() && fleet.target == 1).await;
    assert_eq!(scene.end().await, 0);
}

#[tokio::test]
async fn a_stop_waits_for_every_worker_and_tells_how_many_ended_badly() {
    let scene = Scene::start(shell("cat; exit 1"), 2);
    let fleet = scene.until("two run", Fleet::is_reached).await;
    assert_eq!(scene.end().await, 2);
    assert!(fleet.workers.iter().all(|kept| !is_alive(kept.pid.unwrap())));
}

#[tokio::test]
async fn a_worker_that_waits_to_be_started_again_is_gone_at_once_when_it_is_not_wanted() {
    let scene = Scene::start(shell("exit 1"), 1);
    scene.until("it crashed often", |fleet| fleet.workers.iter().any(|kept| kept.restarts >= 2)).await;
    scene.supervisor.scale(0);
    scene.until("none is left", |fleet| fleet.workers.is_empty() && fleet.target == 0).await;
    assert_eq!(scene.end().await, 0);
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_tried_again() {
    let scene = Scene::start(Program { path: "/nowhere/xnovu".into(), arguments: Vec::new(), health_base: None }, 1);
    scene.until("it was tried again", |fleet| fleet.workers.iter().any(|kept| kept.restarts >= 1)).await;
    assert_eq!(scene.end().await, 0);
}
