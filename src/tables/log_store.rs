//! The object stores behind Delta's transaction log.

use std::sync::Arc;

use deltalake_core::logstore::{
    LogStore, LogStoreFactory, ObjectStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
    object_store_factories,
};
use deltalake_core::{DeltaResult, DeltaTableError, Path};
use url::Url;

use crate::store;

/// The URL schemes under which [`store::open`] is registered.
const SCHEMES: [&str; 9] = ["file", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"];

/// Registers the stores of [`crate::store`] with the Delta library, which keeps one registry per process. Idempotent.
///
/// Local files too: the library's own writes to them may be lost in a power failure.
pub(super) fn register() {
    for scheme in SCHEMES {
        if let Ok(url) = Url::parse(&format!("{scheme}://")) {
            object_store_factories().insert(url.clone(), Arc::new(StoreFactory));
            logstore_factories().insert(url, Arc::new(StoreFactory));
        }
    }
}

#[derive(Debug)]
struct StoreFactory;

impl ObjectStoreFactory for StoreFactory {
    fn parse_url_opts(&self, url: &Url, _: &StorageConfig) -> DeltaResult<(ObjectStoreRef, Path)> {
        let (store, path) = store::open(url).map_err(|error| DeltaTableError::InvalidTableLocation(error.to_string()))?;
        Ok((store, path))
    }
}

impl LogStoreFactory for StoreFactory {
    /// The default log store commits with a conditional put, which S3, GCS, Azure and local files offer.
    fn with_options(
        &self,
        prefixed: ObjectStoreRef,
        root: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed, root, location, options))
    }
}
