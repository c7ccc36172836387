//! The draw of an event, computed again from its facts and compared with them: one seed, the one that was
//! committed to; a cohort of exactly those who were there at the opening; their order by the lots. And a buyer's proof,
//! which needs no data directory. Must never trust a digest that it can compute itself.

use crate::queue::{DrawJson, ProofJson, StepJson};
use crate::text::read_composed_file;
use onsale_engine::id::BuyerId;
use onsale_engine::sale::draw::merkle::{Side, is_path_of, leaf, root_by_path};
use onsale_engine::sale::draw::{DrawHash, DrawSeed, DrawView, cohort_root, drawn_order};
use onsale_engine::sale::{Entry, Fact, Sale};
use std::path::Path;
use uuid::Uuid;

/// Follows the draw through the facts of one event.
#[derive(Default)]
pub(super) struct DrawCheck {
    committed: Option<(DrawSeed, DrawHash)>,
    /// Who was in the line when the cohort was frozen, and the root as it is worked out here.
    cohort: Option<(Vec<BuyerId>, DrawHash)>,
    drawn: bool,
    pub(super) faults: Vec<String>,
}

impl DrawCheck {
    /// Checks a fact before the sale applies it.
    pub(super) fn before(&mut self, sale: &Sale, entry: &Entry) {
        if let Fact::DrawCommitted { seed, commitment } = &entry.fact {
            self.commit(*seed, *commitment);
        }
        if let Fact::CohortFrozen { root, size } = &entry.fact {
            self.freeze(sale, entry, *root, *size);
        }
        if let Fact::Entered { buyer, .. } = &entry.fact {
            self.check_entry(sale, entry, *buyer);
        }
    }

    /// Checks a fact after the sale has applied it.
    pub(super) fn after(&mut self, sale: &Sale, entry: &Entry) {
        if let Fact::Drawn { seed } = &entry.fact {
            self.draw(sale, seed);
        }
    }

    fn commit(&mut self, seed: DrawSeed, commitment: DrawHash) {
        if self.committed.is_some() {
            self.faults.push("a second seed is committed to".into());
        }
        if seed.commitment() != commitment {
            self.faults.push(format!("the seed is not the one of the commitment {commitment}"));
        }
        self.committed.get_or_insert((seed, commitment));
    }

    /// Who enters at the opening or later must find the cohort frozen.
    fn check_entry(&mut self, sale: &Sale, entry: &Entry, buyer: BuyerId) {
        let Some(config) = sale.config() else { return };
        let bound = config.admission.draw && self.committed.is_some();
        if bound && self.cohort.is_none() && entry.at >= config.sale_starts_at {
            self.faults.push(format!("{buyer} entered after the opening and before the cohort was frozen"));
        }
    }

    fn freeze(&mut self, sale: &Sale, entry: &Entry, root: DrawHash, size: u64) {
        if self.cohort.is_some() {
            self.faults.push("the cohort is frozen a second time".into());
            return;
        }
        if sale.config().is_some_and(|config| entry.at < config.sale_starts_at) {
            self.faults.push("the cohort is frozen before the opening".into());
        }
        let cohort: Vec<BuyerId> = sale.waiting().collect();
        let worked_out = cohort_root(cohort.iter().copied());
        if (worked_out, cohort.len() as u64) != (root, size) {
            let waited = cohort.len();
            self.faults
                .push(format!("the cohort is said to be {size} with root {root}; {waited} waited, {worked_out}"));
        }
        self.cohort = Some((cohort, worked_out));
    }

    fn draw(&mut self, sale: &Sale, seed: &DrawSeed) {
        if std::mem::replace(&mut self.drawn, true) {
            self.faults.push("the order is drawn a second time".into());
        }
        if self.committed.is_none_or(|(_, commitment)| seed.commitment() != commitment) {
            self.faults.push("the order is drawn with another seed than was committed to".into());
        }
        let Some((cohort, root)) = &self.cohort else {
            self.faults.push("the order is drawn before the cohort is frozen".into());
            return;
        };
        let order = drawn_order(seed, *root, cohort).into_iter().map(|at| cohort[at as usize]);
        // Who has left meanwhile is not in the line, and who came later stands behind it.
        let mut line = sale.waiting();
        let in_line: std::collections::HashSet<BuyerId> = sale.waiting().collect();
        let again: std::collections::HashSet<BuyerId> = self.came_again(sale, cohort);
        let stands = |buyer: &BuyerId| in_line.contains(buyer) && !again.contains(buyer);
        if order.into_iter().filter(stands).any(|buyer| line.next() != Some(buyer)) {
            self.faults.push("the line does not stand in the order that seed and root give it".into());
        }
    }

    /// Members of the cohort who left after it was frozen and entered again: they stand behind it.
    fn came_again(&self, sale: &Sale, cohort: &[BuyerId]) -> std::collections::HashSet<BuyerId> {
        let of_cohort: std::collections::HashSet<&BuyerId> = cohort.iter().collect();
        let in_cohort = sale.waiting().filter(|buyer| of_cohort.contains(buyer));
        // A place of the cohort is among the first; ordinals of later entries are higher than all of them.
        let last = sale.draw().and_then(|draw| draw.last_ordinal());
        let ordinal = |buyer: BuyerId| sale.place(buyer, sale.at()).and_then(|place| place.ordinal);
        in_cohort.filter(|buyer| ordinal(*buyer) > last).collect()
    }
}

/// What a proof says that is not so; empty for a good one.
///
/// # Errors
/// When the file cannot be read, or is no proof.
pub fn check_proof(path: &Path) -> Result<(ProofJson, Vec<String>), String> {
    let text = read_composed_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let proof: ProofJson =
        serde_json::from_str(&text).map_err(|error| format!("{} is no proof: {error}", path.display()))?;
    let wrong = faults_of(&proof).ok_or_else(|| format!("{} holds something that is no hash or id", path.display()))?;
    Ok((proof, wrong))
}

/// `None` where a hash or an id has no such form.
fn faults_of(proof: &ProofJson) -> Option<Vec<String>> {
    let mut wrong = Vec::new();
    let buyer = BuyerId(Uuid::parse_str(&proof.buyer_id).ok()?);
    let (commitment, root) = (hash(&proof.draw.commitment)?, hash(proof.draw.root.as_deref()?)?);
    let path: Vec<(Side, DrawHash)> = proof.path.iter().map(step).collect::<Option<_>>()?;
    let own = leaf(buyer);
    if hash(&proof.leaf)? != own {
        wrong.push("the leaf is not this buyer's".to_owned());
    }
    if root_by_path(own, &path) != root {
        wrong.push("the path does not lead from this buyer to the root".to_owned());
    }
    if !is_path_of(proof.index, proof.draw.cohort?, &path) {
        wrong.push("the path is not that of this place of arrival".to_owned());
    }
    if let Some(seed) = &proof.draw.seed {
        let seed = DrawSeed(hash(seed)?.0);
        if seed.commitment() != commitment {
            wrong.push("the seed is not the one that was committed to".to_owned());
        }
        if hash(proof.lot.as_deref()?)? != seed.lot(root, buyer) {
            wrong.push("the lot is not the one that seed and root give this buyer".to_owned());
        }
        if !(1..=proof.draw.cohort?).contains(&proof.drawn_rank?) {
            wrong.push("the drawn place is none of the cohort's".to_owned());
        }
    }
    Some(wrong)
}

fn step(step: &StepJson) -> Option<(Side, DrawHash)> {
    let side = match step.side.as_str() {
        "LEFT" => Side::Left,
        "RIGHT" => Side::Right,
        _ => return None,
    };
    Some((side, hash(&step.hash)?))
}

fn hash(text: &str) -> Option<DrawHash> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    Some(DrawHash(bytes.try_into().ok().filter(|_| text.len() == 64)?))
}

/// One line about a draw, for people.
pub(super) fn described(view: &DrawView) -> String {
    let root = match view.cohort {
        Some((root, size)) => format!("cohort {size}, root {root}"),
        None => "not frozen yet".to_owned(),
    };
    let seed = view.seed.map_or_else(|| "not drawn yet".to_owned(), |seed| format!("seed {}", DrawHash(seed.0)));
    format!("commitment {}, {root}, {seed}", view.commitment)
}

/// The same for machines.
pub(super) fn json(event: onsale_engine::id::EventId, view: DrawView) -> serde_json::Value {
    serde_json::to_value(DrawJson::new(event, view)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use onsale_engine::id::EventId;
    use onsale_engine::sale::draw::DrawProof;
    use onsale_engine::sale::draw::merkle;

    fn buyer(n: u128) -> BuyerId {
        BuyerId(Uuid::from_u128(n))
    }

    /// The second of three.
    fn proof() -> ProofJson {
        let cohort = [buyer(1), buyer(2), buyer(3)];
        let (seed, root) = (DrawSeed([7; 32]), cohort_root(cohort));
        let order = drawn_order(&seed, root, &cohort);
        let rank = order.iter().position(|at| *at == 1).unwrap() as u64 + 1;
        let path = vec![(Side::Left, merkle::leaf(buyer(1))), (Side::Right, merkle::leaf(buyer(3)))];
        let drawn = Some((seed.lot(root, buyer(2)), rank));
        let proof = DrawProof { buyer: buyer(2), index: 1, cohort: 3, root, leaf: leaf(buyer(2)), path, drawn };
        let view = DrawView { commitment: seed.commitment(), cohort: Some((root, 3)), seed: Some(seed) };
        ProofJson::new(EventId(Uuid::nil()), view, &proof)
    }

    fn wrong(change: impl FnOnce(&mut ProofJson)) -> Vec<String> {
        let mut proof = proof();
        change(&mut proof);
        let again: ProofJson = serde_json::from_str(&serde_json::to_string(&proof).unwrap()).unwrap();
        assert_eq!(again, proof);
        faults_of(&again).unwrap_or_else(|| vec!["no proof".into()])
    }

    #[test]
    fn a_good_proof_is_good_and_every_change_of_it_is_found() {
        assert_eq!(wrong(|_| ()), Vec::<String>::new());
        let other = "ab".repeat(32);
        assert!(wrong(|proof| proof.draw.seed = Some(other.clone())).len() == 2, "another seed");
        assert!(wrong(|proof| proof.draw.commitment = other.clone())[0].contains("committed to"));
        assert!(wrong(|proof| proof.draw.root = Some(other.clone()))[0].contains("to the root"));
        assert!(wrong(|proof| proof.buyer_id = buyer(4).to_string())[0].contains("not this buyer's"));
        assert!(wrong(|proof| proof.index = 0)[0].contains("place of arrival"));
        assert!(wrong(|proof| proof.draw.cohort = Some(9))[0].contains("place of arrival"), "a dropped or added buyer");
        assert!(wrong(|proof| proof.path[0].hash = other.clone())[0].contains("to the root"));
        assert!(wrong(|proof| proof.path[0].side = "RIGHT".into())[0].contains("to the root"));
        assert!(wrong(|proof| proof.lot = Some(other.clone()))[0].contains("lot"));
        assert!(wrong(|proof| proof.drawn_rank = Some(4))[0].contains("none of the cohort's"));
        assert_eq!(wrong(|proof| proof.leaf = "x".into()), ["no proof"]);
    }
}
