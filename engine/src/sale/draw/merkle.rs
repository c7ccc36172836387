//! The hash tree over a cohort, as in RFC 6962, section 2.1: a leaf is `H(0 ‖ entry)`, a node `H(1 ‖ left ‖ right)`, and
//! the left side of a node is the largest full tree that leaves something for the right. Must never hash a leaf as a
//! node: that is what the first byte is for.
#![expect(clippy::arithmetic_side_effects, reason = "positions in a row of the tree: an odd one has a left neighbour")]

use crate::id::BuyerId;
use crate::sale::draw::DrawHash;
use sha2::{Digest, Sha256};

/// On which side of the path a sibling stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Hashed before what the path has so far.
    Left,
    /// Hashed after it.
    Right,
}

/// The hash of one member.
#[must_use]
pub fn leaf(buyer: BuyerId) -> DrawHash {
    DrawHash(Sha256::new().chain_update([0]).chain_update(buyer.0.as_bytes()).finalize().into())
}

fn node(left: &DrawHash, right: &DrawHash) -> DrawHash {
    DrawHash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root that a path from a leaf leads to.
#[must_use]
pub fn root_by_path(leaf: DrawHash, path: &[(Side, DrawHash)]) -> DrawHash {
    path.iter().fold(leaf, |so_far, (side, sibling)| match side {
        Side::Left => node(sibling, &so_far),
        Side::Right => node(&so_far, sibling),
    })
}

/// Whether a path has the sides that lead from the leaf `index` of so many to their root: the place in a proof is
/// proven with it.
#[must_use]
pub fn is_path_of(index: u64, leaves: u64, path: &[(Side, DrawHash)]) -> bool {
    let (mut index, mut last, mut sides) = (index, leaves.wrapping_sub(1), path.iter().map(|(side, _)| *side));
    if index > last || leaves == 0 {
        return false;
    }
    while last > 0 {
        let expected = match index & 1 {
            1 => Some(Side::Left),
            _ if index < last => Some(Side::Right),
            // The last one of an odd row moves up as it is.
            _ => None,
        };
        if expected.is_some() && sides.next() != expected {
            return false;
        }
        (index, last) = (index / 2, last / 2);
    }
    sides.next().is_none()
}

/// Every row of the tree, leaves first. An odd row's last hash moves up as it is, which gives RFC 6962's tree.
#[derive(Debug)]
pub(crate) struct Tree {
    rows: Vec<Vec<DrawHash>>,
}

impl Tree {
    pub(crate) fn over(leaves: Vec<DrawHash>) -> Self {
        let mut rows = vec![leaves];
        while let Some(below) = rows.last().filter(|row| row.len() > 1) {
            let up = |pair: &[DrawHash]| match pair {
                [left, right] => node(left, right),
                alone => alone[0],
            };
            let row = below.chunks(2).map(up).collect();
            rows.push(row);
        }
        Self { rows }
    }

    /// The hash of nothing for a tree without leaves.
    pub(crate) fn root(&self) -> DrawHash {
        let root = self.rows.last().and_then(|row| row.first().copied());
        root.unwrap_or_else(|| DrawHash(Sha256::digest([]).into()))
    }

    /// The siblings on the way from a leaf to the root.
    pub(crate) fn path(&self, leaf: usize) -> Vec<(Side, DrawHash)> {
        let mut at = leaf;
        let mut path = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let sibling = if at % 2 == 1 { Some((Side::Left, at - 1)) } else { Some((Side::Right, at + 1)) };
            path.extend(sibling.and_then(|(side, at)| Some((side, *row.get(at)?))));
            at /= 2;
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn leaves(count: u128) -> Vec<DrawHash> {
        (0..count).map(|n| leaf(BuyerId(Uuid::from_u128(n)))).collect()
    }

    /// RFC 6962, section 2.1, word for word.
    fn by_definition(leaves: &[DrawHash]) -> DrawHash {
        match leaves {
            [] => DrawHash(Sha256::digest([]).into()),
            [one] => *one,
            more => {
                let split = more.len().next_power_of_two() / 2;
                node(&by_definition(&more[..split]), &by_definition(&more[split..]))
            }
        }
    }

    #[test]
    fn every_small_tree_is_the_one_of_the_rfc_and_every_leaf_has_its_path() {
        for count in 0..70 {
            let leaves = leaves(count);
            let tree = Tree::over(leaves.clone());
            assert_eq!(tree.root(), by_definition(&leaves), "{count} leaves");
            for (at, leaf) in leaves.iter().enumerate() {
                let path = tree.path(at);
                assert_eq!(root_by_path(*leaf, &path), tree.root(), "leaf {at} of {count}");
                assert!(is_path_of(at as u64, count as u64, &path));
                let elsewhere = (0..count as u64).filter(|other| *other != at as u64);
                assert!(elsewhere.into_iter().all(|other| !is_path_of(other, count as u64, &path)), "{at} of {count}");
            }
        }
    }

    #[test]
    fn a_node_is_no_leaf_and_another_path_leads_elsewhere() {
        let tree = Tree::over(leaves(5));
        let (own, other) = (leaves(5)[2], leaves(6)[5]);
        assert_eq!(root_by_path(own, &tree.path(2)), tree.root());
        assert_ne!(root_by_path(other, &tree.path(2)), tree.root());
        assert_ne!(root_by_path(own, &tree.path(3)), tree.root());
        assert!(!is_path_of(5, 5, &tree.path(2)) && !is_path_of(0, 0, &[]));
    }
}
