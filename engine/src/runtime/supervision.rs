//! Threads and tasks that everything else rests on: one that panics ends the process with its reason, so that the
//! supervisor of the process, or the next start, recovers. Must never let such a thread end unnoticed: all would look well
//! while nothing is committed.

use futures_util::FutureExt;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Called with the reason when the process must end.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Starts a thread whose panic is fatal.
///
/// # Errors
/// The operating system's, when it gives no thread.
pub fn supervised(
    name: impl Into<String>,
    on_fatal: &OnFatal,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let (name, on_fatal) = (name.into(), Arc::clone(on_fatal));
    std::thread::Builder::new().name(name.clone()).spawn(move || {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
            on_fatal(&reason(&format!("the thread {name}"), &*panic));
        }
    })
}

/// The same for a task of a runtime, that is spawned by the caller.
pub async fn supervised_task(name: &str, on_fatal: OnFatal, body: impl Future<Output = ()> + Send) {
    if let Err(panic) = AssertUnwindSafe(body).catch_unwind().await {
        on_fatal(&reason(&format!("the task {name}"), &*panic));
    }
}

/// What a panic said.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

fn reason(who: &str, panic: &(dyn Any + Send)) -> String {
    format!("{who} panicked: {}", panic_message(panic))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use parking_lot::Mutex;

    fn noted() -> (OnFatal, Arc<Mutex<Vec<String>>>) {
        let reasons: Arc<Mutex<Vec<String>>> = Arc::default();
        let theirs = Arc::clone(&reasons);
        (Arc::new(move |reason: &str| theirs.lock().push(reason.to_owned())), reasons)
    }

    #[test]
    fn a_thread_that_panics_is_fatal_and_one_that_ends_is_not() {
        let (on_fatal, reasons) = noted();
        supervised("quiet", &on_fatal, || ()).unwrap().join().unwrap();
        assert_eq!(*reasons.lock(), Vec::<String>::new());
        supervised("loud", &on_fatal, || panic!("out of {}", "luck")).unwrap().join().unwrap();
        assert_eq!(*reasons.lock(), ["the thread loud panicked: out of luck"]);
    }

    #[test]
    fn so_is_a_task() {
        let (on_fatal, reasons) = noted();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(supervised_task("keeper", on_fatal, async { panic!("gone") }));
        assert_eq!(*reasons.lock(), ["the task keeper panicked: gone"]);
    }
}
