//! The draw over HTTP: what is published of it, and a buyer's proof that they are in it. Everything in these answers can
//! be checked by everyone who has them, with `onsale verify --proof` or anything else that knows SHA-256. Must never show a
//! seed before the sale shows it.

use crate::http::{Context, Problem, Request, Response, response};
use crate::sales;
use http::StatusCode;
use onsale_engine::id::EventId;
use onsale_engine::runtime::Found;
use onsale_engine::sale::draw::merkle::Side;
use onsale_engine::sale::draw::{Draw, DrawHash, DrawProof, DrawView};
use onsale_engine::trace::Scope;
use serde::{Deserialize, Serialize};

/// What is published of a draw, as far as it is by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrawJson {
    /// The event.
    pub event_id: String,
    /// SHA-256 of `onsale draw commitment 1` and the seed: before anybody comes.
    pub commitment: String,
    /// The root over the cohort, from the opening on.
    pub root: Option<String>,
    /// How many the cohort is.
    pub cohort: Option<u64>,
    /// The seed: after the root.
    pub seed: Option<String>,
}

impl DrawJson {
    /// Writes down what may be known of a draw.
    #[must_use]
    pub fn new(event: EventId, view: DrawView) -> Self {
        Self {
            event_id: event.to_string(),
            commitment: view.commitment.to_string(),
            root: view.cohort.map(|(root, _)| root.to_string()),
            cohort: view.cohort.map(|(_, size)| size),
            seed: view.seed.map(|seed| DrawHash(seed.0).to_string()),
        }
    }
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepJson {
    /// On which side the sibling is hashed: `LEFT` or `RIGHT`.
    pub side: String,
    /// The sibling.
    pub hash: String,
}

/// A buyer's proof, with the draw that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofJson {
    /// The draw.
    #[serde(flatten)]
    pub draw: DrawJson,
    /// Whose proof it is.
    pub buyer_id: String,
    /// The place of arrival, from 0.
    pub index: u64,
    /// SHA-256 of a zero byte and the 16 bytes of the buyer's id.
    pub leaf: String,
    /// From the leaf to the root (RFC 6962).
    pub path: Vec<StepJson>,
    /// HMAC-SHA256 under the seed of root and buyer: the order is by it.
    pub lot: Option<String>,
    /// The place in the drawn order, from 1.
    pub drawn_rank: Option<u64>,
}

impl ProofJson {
    /// Writes a proof down.
    #[must_use]
    pub fn new(event: EventId, view: DrawView, proof: &DrawProof) -> Self {
        let side = |side| match side {
            Side::Left => "LEFT",
            Side::Right => "RIGHT",
        };
        let step = |(on, hash): &(Side, DrawHash)| StepJson { side: side(*on).to_owned(), hash: hash.to_string() };
        Self {
            draw: DrawJson::new(event, view),
            buyer_id: proof.buyer.to_string(),
            index: proof.index,
            leaf: proof.leaf.to_string(),
            path: proof.path.iter().map(step).collect(),
            lot: proof.drawn.map(|(lot, _)| lot.to_string()),
            drawn_rank: proof.drawn.map(|(_, rank)| rank),
        }
    }
}

async fn draw_of(ctx: &Context, event: EventId) -> Result<Draw, Problem> {
    // A copy shares the cohort: hashing it must not happen under the lock of the read view.
    sales::of(&ctx.app, event).await?.view().draw().cloned().ok_or_else(Problem::not_found)
}

async fn published_of(ctx: &Context, event: EventId) -> Result<DrawView, Problem> {
    match sales::known(&ctx.app, event).await? {
        Found::Loaded(sale) => sale.view().draw().map(Draw::view),
        Found::Unloaded(summary) => summary.draw,
    }
    .ok_or_else(Problem::not_found)
}

/// `GET /events/{id}/draw`.
pub(super) async fn published(ctx: Context, request: Request) -> Result<Response, Problem> {
    let event = EventId(request.path_id("id")?);
    response::ok(&DrawJson::new(event, published_of(&ctx, event).await?))
}

/// `GET /queue/proof`.
pub(super) async fn proof(ctx: Context, request: Request) -> Result<Response, Problem> {
    let (event, buyer) = (super::sale_of_query(&ctx, &request).await?.event(), ctx.buyer()?);
    let draw = draw_of(&ctx, event).await?;
    let view = draw.view();
    if view.cohort.is_none() {
        return Err(Problem::not_found());
    }
    // The first proof of a cohort hashes all of it.
    let found = tokio::task::spawn_blocking(Scope::carry(move || draw.proof(buyer))).await;
    let found = found.map_err(|error| Problem::internal().because(error))?;
    let not_of_it = || Problem::new(StatusCode::NOT_FOUND, "NOT_IN_QUEUE", "you were not in the line at the opening");
    response::ok(&ProofJson::new(event, view, &found.ok_or_else(not_of_it)?))
}
