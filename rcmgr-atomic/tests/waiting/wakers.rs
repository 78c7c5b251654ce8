//! Wakers that run their task at once, on the thread that makes the room.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use rcmgr_atomic::{Priority, ReserveWhenAvailable};

use super::support::{connection, nothing_is_left, with_limits};

type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task that its waker runs at once.
struct AtOnce(Mutex<Option<Task>>);

impl AtOnce {
    fn begin(task: impl Future<Output = ()> + Send + 'static) -> Arc<Self> {
        let task: Task = Box::pin(task);
        let this = Arc::new(Self(Mutex::new(Some(task))));
        this.clone().wake();
        this
    }
}

impl Wake for AtOnce {
    fn wake(self: Arc<Self>) {
        let Some(mut task) = self.0.lock().unwrap().take() else {
            return;
        };
        let waker = Waker::from(self.clone());
        let mut context = Context::from_waker(&waker);
        if task.as_mut().poll(&mut context).is_pending() {
            *self.0.lock().unwrap() = Some(task);
        }
    }
}

#[test]
fn a_task_that_a_move_wakes_at_once_may_use_the_connection_that_moves() {
    let (done, is_done) = mpsc::channel();
    // On a thread of its own, so that a deadlock fails the test.
    let test = thread::spawn(move || {
        let manager = with_limits(|limits| limits.transient.memory = 100.into());
        let moving = Arc::new(connection(&manager));
        moving.reserve_memory(100, Priority::Always).unwrap();
        let waiting = Arc::new(connection(&manager));

        let has_run = Arc::new(AtomicBool::new(false));
        let task = {
            let (moving, has_run) = (moving.clone(), has_run.clone());
            AtOnce::begin(async move {
                let room = ReserveWhenAvailable::new(waiting, 50, Priority::Always).await;
                // Each of these takes the right to move the connection.
                let span = moving.begin_span().unwrap();
                moving.set_service("other").unwrap_err();
                has_run.store(true, Ordering::Relaxed);
                drop((room, span));
            })
        };
        assert!(!has_run.load(Ordering::Relaxed));
        // The move gives the memory of the transient scope back, which wakes the task.
        moving.set_service("web").unwrap();
        assert!(has_run.load(Ordering::Relaxed));

        drop((task, moving));
        nothing_is_left(&manager);
        done.send(()).unwrap();
    });
    let ended = is_done.recv_timeout(Duration::from_secs(60));
    if ended.is_ok() || test.is_finished() {
        test.join().unwrap();
    }
    ended.unwrap();
}
