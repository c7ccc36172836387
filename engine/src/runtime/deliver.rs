//! Delivering what a commit has brought: answers to those who wait, then effects to the tasks that run them, then facts to what is
//! written behind. Waking somebody from outside of their runtime costs a system call, so all who wait in one runtime are woken from
//! within it, by one task. Must never deliver anything that is not committed and published.

use crate::ports::Committed;
use crate::runtime::answer::{Answer, ReplyTo};
use crate::runtime::copier::CopierFront;
use crate::runtime::effects::{Effect, Effects};
use crate::runtime::handle::{SaleHandle, Shared};
use crate::runtime::projector::ProjectorFront;
use crate::runtime::snapshots::Snapshots;
use crate::sale::{Entry, PaymentView};
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What is answered, and begun, once a batch is committed and published.
#[derive(Default)]
pub(crate) struct Deliveries {
    pub(crate) answers: Vec<(ReplyTo, Answer)>,
    pub(crate) settled: Vec<(oneshot::Sender<PaymentView>, PaymentView)>,
    pub(crate) effects: Vec<Effect>,
}

/// A batch whose facts are in the read views: what is left to be done for it.
pub(crate) struct Published {
    pub(crate) deliveries: Deliveries,
    pub(crate) committed: Vec<(Arc<SaleHandle>, Arc<[Entry]>)>,
}

/// Answers, and hands effects and facts on.
pub(crate) struct Deliverer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) effects: Arc<Effects>,
    pub(crate) snapshots: Arc<Snapshots>,
    /// There once something is shared with other nodes.
    pub(crate) copier: Arc<OnceLock<Arc<CopierFront>>>,
    pub(crate) projector: Arc<ProjectorFront>,
}

impl Deliverer {
    /// In this order: answers, effects, facts.
    pub(crate) fn deliver(&self, published: Published) {
        let Published { deliveries, committed } = published;
        deliveries.deliver(&self.effects);
        let is_busy = self.shared.journal.is_busy(self.shared.clock.now());
        for (sale, entries) in committed {
            self.snapshots.consider(&sale, &entries, is_busy);
            if let Some(copier) = self.copier.get() {
                copier.enqueue(sale.event(), &entries);
            }
            self.projector.enqueue(Committed { event: sale.event(), entries });
        }
    }
}

/// Effects that begin when everybody has been answered: when the last who answers lets go of them.
struct Afterwards {
    carried_out_by: Arc<Effects>,
    effects: Vec<Effect>,
}

impl Drop for Afterwards {
    fn drop(&mut self) {
        // In one task for all of them: a step of a cancellation orders hundreds of refunds, and this may be the journal's
        // thread.
        let (carried_out_by, effects) = (Arc::clone(&self.carried_out_by), std::mem::take(&mut self.effects));
        self.carried_out_by.runtime().spawn(async move {
            effects.into_iter().for_each(|effect| carried_out_by.order(effect));
        });
    }
}

impl Deliveries {
    /// Answers first, then effects.
    fn deliver(self, carried_out_by: &Arc<Effects>) {
        let Self { answers, settled, effects } = self;
        let afterwards =
            (!effects.is_empty()).then(|| Arc::new(Afterwards { carried_out_by: Arc::clone(carried_out_by), effects }));
        for (waiter, payment) in settled {
            let _ = waiter.send(payment);
        }
        for (home, answers) in by_home(answers) {
            let afterwards = afterwards.clone();
            let answer_all = move || {
                for (reply, answer) in answers {
                    reply.send(Ok(answer));
                }
                drop(afterwards);
            };
            match home {
                Some(home) => drop(home.spawn(async move { answer_all() })),
                None => answer_all(),
            }
        }
    }
}

/// The answers that are given in one runtime, or from here.
type Home = (Option<Handle>, Vec<(ReplyTo, Answer)>);

/// The answers of each runtime, of which there are a few: one answer alone is given from here.
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
