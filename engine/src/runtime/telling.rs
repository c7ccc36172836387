//! Telling, after a commit: those who wait for its answers, and then whoever carries out what it has ordered. Waking
//! somebody from outside of their runtime costs a system call, so all who wait in one runtime are woken from within it, by
//! one task. Must never tell anything that is not committed.

use crate::runtime::answer::{Answer, ReplyTo};
use crate::runtime::effects::Effect;
use crate::runtime::engine::Core;
use crate::sale::PaymentView;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What is told, and begun, once a batch is committed and seen.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) answers: Vec<(ReplyTo, Answer)>,
    pub(crate) settled: Vec<(oneshot::Sender<PaymentView>, PaymentView)>,
    pub(crate) effects: Vec<Effect>,
}

/// Effects that begin when everybody has been told: when the last who tells lets go of them.
struct Afterwards {
    core: Arc<Core>,
    effects: Vec<Effect>,
}

impl Drop for Afterwards {
    fn drop(&mut self) {
        // In one task for all of them: a step of a cancellation orders hundreds of refunds, and this may be the journal's
        // thread.
        let (core, effects) = (Arc::clone(&self.core), std::mem::take(&mut self.effects));
        self.core.effects.tokio().spawn(async move {
            effects.into_iter().for_each(|effect| core.effects.order(effect));
        });
    }
}

impl Told {
    /// Answers first, then effects.
    pub(crate) fn tell(self, core: &Arc<Core>) {
        let Self { answers, settled, effects } = self;
        let afterwards = (!effects.is_empty()).then(|| Arc::new(Afterwards { core: Arc::clone(core), effects }));
        for (waiter, payment) in settled {
            let _ = waiter.send(payment);
        }
        for (home, answers) in by_home(answers) {
            let afterwards = afterwards.clone();
            let tell = move || {
                for (reply, answer) in answers {
                    reply.send(Ok(answer));
                }
                drop(afterwards);
            };
            match home {
                Some(home) => drop(home.spawn(async move { tell() })),
                None => tell(),
            }
        }
    }
}

/// The answers that are told in one runtime, or from here.
type Home = (Option<Handle>, Vec<(ReplyTo, Answer)>);

/// The answers of each runtime, of which there are a few: one answer alone is told from here.
fn by_home(answers: Vec<(ReplyTo, Answer)>) -> Vec<Home> {
    let mut homes: Vec<Home> = Vec::new();
    for (mut reply, answer) in answers {
        let home = reply.home.take();
        let id = home.as_ref().map(Handle::id);
        match homes.iter_mut().find(|(known, _)| known.as_ref().map(Handle::id) == id) {
            Some((_, theirs)) => theirs.push((reply, answer)),
            None => homes.push((home, vec![(reply, answer)])),
        }
    }
    for (home, answers) in &mut homes {
        if answers.len() == 1 {
            *home = None;
        }
    }
    homes
}
