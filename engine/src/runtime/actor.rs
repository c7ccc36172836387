//! Actors on actix: a mailbox of wakes for each, on one of a few arbiters. With `arbiters.rs` the only file that names actix. Must
//! never look into a sale.

use crate::id::{Epoch, Seq};
use crate::runtime::arbiters::Arbiters;
use crate::runtime::mailbox::Mailbox;
use crate::runtime::turn::SaleActor;
use actix::{Actor, ActorContext, Addr, Context, Handler, Message};
use std::sync::mpsc;

/// Where actors live.
pub(crate) trait Host: Send + Sync {
    /// Starts an actor there.
    fn start(&self, actor: SaleActor) -> Box<dyn Mailbox>;

    /// Stops all of them.
    fn stop(&self);
}

impl Host for Arbiters {
    fn start(&self, actor: SaleActor) -> Box<dyn Mailbox> {
        Box::new(SaleActor::start_in_arbiter(self.next(), move |_| actor))
    }

    fn stop(&self) {
        self.end();
    }
}

impl Mailbox for Addr<SaleActor> {
    fn wake(&self) {
        self.do_send(Wake);
    }

    fn release(&self, seq: Seq, reply: mpsc::SyncSender<Epoch>) {
        self.do_send(Release { seq, reply });
    }
}

/// Something may wait in the lanes, or time may have passed.
#[derive(Message)]
#[rtype(result = "()")]
struct Wake;

/// The event shall leave memory, if the sale is at `seq` and nothing waits: see [`Mailbox::release`].
#[derive(Message)]
#[rtype(result = "()")]
struct Release {
    seq: Seq,
    reply: mpsc::SyncSender<Epoch>,
}

impl Actor for SaleActor {
    type Context = Context<Self>;
}

impl Handler<Wake> for SaleActor {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Self::Context) {
        if !self.is_woken() {
            context.stop();
        }
    }
}

impl Handler<Release> for SaleActor {
    type Result = ();

    fn handle(&mut self, Release { seq, reply }: Release, context: &mut Self::Context) {
        if self.is_released(seq, reply) {
            context.stop();
        }
    }
}
