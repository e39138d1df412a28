//! The directories that are watched, by the numbers of their watches.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// A directory keeps its number when it, or one that it is in, gets another name.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: HashMap<i32, Node>,
}

#[derive(Debug)]
struct Node {
    /// `None` for the root.
    parent: Option<i32>,
    name: OsString,
    children: HashMap<OsString, i32>,
}

impl Tree {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn insert_root(&mut self, watch: i32) {
        self.nodes.insert(watch, Node { parent: None, name: OsString::new(), children: HashMap::new() });
    }

    /// Adds a directory, or moves it with all that is in it, if it is known by another name.
    pub(super) fn insert(&mut self, watch: i32, parent: i32, name: &OsStr) {
        self.detach(watch);
        if !self.nodes.contains_key(&parent) {
            return;
        }
        let node = self.nodes.entry(watch).or_insert_with(|| Node {
            parent: None,
            name: OsString::new(),
            children: HashMap::new(),
        });
        (node.parent, node.name) = (Some(parent), name.to_owned());
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.children.insert(name.to_owned(), watch);
        }
    }

    pub(super) fn child(&self, watch: i32, name: &OsStr) -> Option<i32> {
        self.nodes.get(&watch)?.children.get(name).copied()
    }

    /// From the root on. `None` if it is not known, or not in the tree any more.
    pub(super) fn path(&self, watch: i32) -> Option<PathBuf> {
        let mut names = Vec::new();
        let mut node = self.nodes.get(&watch)?;
        while let Some(parent) = node.parent {
            names.push(&node.name);
            // What is moved into itself while it is looked at would lead around.
            if names.len() > self.nodes.len() {
                return None;
            }
            node = self.nodes.get(&parent)?;
        }
        Some(names.into_iter().rev().collect())
    }

    /// Forgets one whose watch has ended.
    pub(super) fn remove(&mut self, watch: i32) {
        self.detach(watch);
        self.nodes.remove(&watch);
    }

    /// Forgets a directory and all that is in it, and gives their numbers.
    pub(super) fn remove_all(&mut self, watch: i32) -> Vec<i32> {
        self.detach(watch);
        let (mut removed, mut todo) = (Vec::new(), vec![watch]);
        while let Some(watch) = todo.pop() {
            if let Some(node) = self.nodes.remove(&watch) {
                removed.push(watch);
                todo.extend(node.children.into_values());
            }
        }
        removed
    }

    /// Whether it is where it was last said to be.
    pub(super) fn is_attached(&self, watch: i32) -> bool {
        let Some(node) = self.nodes.get(&watch) else { return false };
        node.parent.is_none_or(|parent| self.child(parent, &node.name) == Some(watch))
    }

    /// Whether it is known to be there.
    pub(super) fn is_at(&self, watch: i32, parent: Option<i32>, name: &OsStr) -> bool {
        let is_there = |node: &Node| node.parent == parent && (parent.is_none() || node.name == name);
        self.nodes.get(&watch).is_some_and(is_there) && self.is_attached(watch)
    }

    /// Its parent forgets it, unless the name is another's already.
    pub(super) fn detach(&mut self, watch: i32) {
        let Some(node) = self.nodes.get(&watch) else { return };
        if let Some(parent) = node.parent {
            let name = node.name.clone();
            if let Some(parent) = self.nodes.get_mut(&parent)
                && parent.children.get(&name) == Some(&watch)
            {
                parent.children.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1` with `a` in it (2), and `b` in that (3).
    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.insert_root(1);
        tree.insert(2, 1, "a".as_ref());
        tree.insert(3, 2, "b".as_ref());
        tree
    }

    #[test]
    fn a_directory_takes_along_what_is_in_it() {
        let mut tree = tree();
        assert_eq!(tree.path(3), Some("a/b".into()));
        assert_eq!(tree.path(1), Some("".into()));
        tree.insert(4, 1, "c".as_ref());
        tree.insert(2, 4, "z".as_ref());
        assert_eq!(tree.path(3), Some("c/z/b".into()));
        assert_eq!((tree.child(1, "a".as_ref()), tree.child(4, "z".as_ref())), (None, Some(2)));
    }

    #[test]
    fn who_has_taken_a_name_keeps_it_when_the_old_one_ends() {
        let mut tree = tree();
        tree.insert(5, 1, "a".as_ref());
        tree.remove(2);
        assert_eq!(tree.child(1, "a".as_ref()), Some(5));
        assert_eq!(tree.path(3), None, "where it was is gone");
    }

    #[test]
    fn a_directory_is_forgotten_with_all_that_is_in_it() {
        let mut tree = tree();
        let mut removed = tree.remove_all(2);
        removed.sort_unstable();
        assert_eq!((removed, tree.len()), (vec![2, 3], 1));
        assert_eq!(tree.child(1, "a".as_ref()), None);
    }

    #[test]
    fn what_contains_itself_has_no_path() {
        let mut tree = tree();
        tree.insert(2, 3, "a".as_ref());
        assert_eq!(tree.path(3), None);
        tree.insert(9, 77, "nowhere".as_ref());
        assert_eq!(tree.path(9), None);
    }
}
