//! The declared apps: by name, and in the order of the file.

use super::app::App;
use handover_core::AppName;
use std::collections::HashMap;
use std::sync::Arc;

/// The declared apps: found by name, walked in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Apps {
    list: Vec<Arc<App>>,
    by_name: HashMap<AppName, usize>,
}

impl Apps {
    /// The app of this name; an [`AppName`] or a text.
    pub fn get<Q>(&self, name: &Q) -> Option<&Arc<App>>
    where
        AppName: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        self.by_name.get(name).and_then(|index| self.list.get(*index))
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<App>> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl FromIterator<App> for Apps {
    fn from_iter<I: IntoIterator<Item = App>>(apps: I) -> Self {
        let list: Vec<Arc<App>> = apps.into_iter().map(Arc::new).collect();
        let by_name = list.iter().enumerate().map(|(index, app)| (app.name.clone(), index)).collect();
        Self { list, by_name }
    }
}

impl<'a> IntoIterator for &'a Apps {
    type Item = &'a Arc<App>;
    type IntoIter = std::slice::Iter<'a, Arc<App>>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
