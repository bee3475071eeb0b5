//! What the suite asks for, made of each session layer's own trait. See
//! [`conformance`](super::conformance).

#[cfg(feature = "actix-session")]
pub use actix::ActixSession;
#[cfg(feature = "tower-sessions-014")]
pub use tower_014::TowerSessions014;
#[cfg(feature = "tower-sessions-015")]
pub use tower_015::TowerSessions015;

macro_rules! tower_sessions {
    ($module:ident, $name:ident, $core:ident, $ours:literal, $feature:literal) => {
        #[cfg(feature = $feature)]
        mod $module {
            use super::super::{Answer, Store, Values};
            use $core::session::{Id, Record};
            use $core::session_store::{ExpiredDeletion, SessionStore};
            use time::OffsetDateTime;
            use std::fmt;
            use std::time::Duration;

            #[doc = concat!("A store for tower-sessions, with the feature `", $feature, "`.")]
            ///
            /// ```
            #[doc = concat!("use dwell::web::", $ours, "::RecordStore;")]
            #[doc = concat!("use dwell::web::testing::stores::", stringify!($name), ";")]
            ///
            #[doc = concat!("let store = ", stringify!($name), "::with_deletion(RecordStore::new(None));")]
            /// ```
            pub struct $name<S> {
                store: S,
                delete_expired: Option<fn(&S) -> Answer<'_, ()>>,
            }

            impl<S: SessionStore> $name<S> {
                /// A store that frees by itself what has ended.
                pub fn new(store: S) -> Self {
                    Self {
                        store,
                        delete_expired: None,
                    }
                }

                /// A store that can be asked to.
                pub fn with_deletion(store: S) -> Self
                where
                    S: ExpiredDeletion,
                {
                    Self {
                        store,
                        delete_expired: Some(|store| {
                            Box::pin(async { Ok(store.delete_expired().await?) })
                        }),
                    }
                }
            }

            fn record(id: Id, data: Values, lifetime: Duration) -> Record {
                Record {
                    id,
                    data,
                    expiry_date: OffsetDateTime::now_utc() + lifetime,
                }
            }

            impl<S: SessionStore> Store for $name<S> {
                fn create(&self, values: Values, lifetime: Duration) -> Answer<'_, String> {
                    Box::pin(async move {
                        let mut record = record(Id::default(), values, lifetime);
                        self.store.create(&mut record).await?;
                        Ok(record.id.to_string())
                    })
                }

                fn create_as<'a>(
                    &'a self,
                    id: &'a str,
                    values: Values,
                    lifetime: Duration,
                ) -> Option<Answer<'a, String>> {
                    Some(Box::pin(async move {
                        let mut record = record(id.parse()?, values, lifetime);
                        self.store.create(&mut record).await?;
                        Ok(record.id.to_string())
                    }))
                }

                fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Values>> {
                    Box::pin(async {
                        let loaded = self.store.load(&id.parse()?).await?;
                        Ok(loaded.map(|record| record.data))
                    })
                }

                fn save<'a>(
                    &'a self,
                    id: &'a str,
                    values: Values,
                    lifetime: Duration,
                ) -> Answer<'a, ()> {
                    Box::pin(async move {
                        let record = record(id.parse()?, values, lifetime);
                        Ok(self.store.save(&record).await?)
                    })
                }

                fn delete<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
                    Box::pin(async { Ok(self.store.delete(&id.parse()?).await?) })
                }

                fn delete_expired(&self) -> Option<Answer<'_, ()>> {
                    self.delete_expired.map(|delete| delete(&self.store))
                }
            }

            impl<S: fmt::Debug> fmt::Debug for $name<S> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_tuple(stringify!($name)).field(&self.store).finish()
                }
            }
        }
    };
}

tower_sessions!(
    tower_014,
    TowerSessions014,
    tower_sessions_core_014,
    "tower_sessions_014",
    "tower-sessions-014"
);
tower_sessions!(
    tower_015,
    TowerSessions015,
    tower_sessions_core_015,
    "tower_sessions_015",
    "tower-sessions-015"
);

#[cfg(feature = "actix-session")]
mod actix {
    use super::super::{Answer, Store, Values};
    use actix_session::storage::{SessionKey, SessionStore};
    use serde_json::Value;
    use std::collections::HashMap;
    use std::error::Error;
    use std::time::Duration;
    use time::Duration as Ttl;

    /// A store for actix-session.
    ///
    /// ```
    /// use dwell::web::actix_session::RecordStore;
    /// use dwell::web::testing::stores::ActixSession;
    ///
    /// let store = ActixSession(RecordStore::new(None));
    /// ```
    #[derive(Debug)]
    pub struct ActixSession<S>(pub S);

    /// actix-session's values are texts of JSON.
    fn texts(values: Values) -> HashMap<String, String> {
        let values = values.into_iter();
        values
            .map(|(key, value)| (key, value.to_string()))
            .collect()
    }

    fn key(id: &str) -> Result<SessionKey, Box<dyn Error>> {
        Ok(id.to_owned().try_into()?)
    }

    fn ttl(lifetime: Duration) -> Result<Ttl, Box<dyn Error>> {
        Ok(lifetime.try_into()?)
    }

    impl<S: SessionStore + Sync> Store for ActixSession<S> {
        fn create(&self, values: Values, lifetime: Duration) -> Answer<'_, String> {
            Box::pin(async move {
                let key = self.0.save(texts(values), &ttl(lifetime)?).await?;
                Ok(key.into())
            })
        }

        fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Values>> {
            Box::pin(async {
                let Some(texts) = self.0.load(&key(id)?).await? else {
                    return Ok(None);
                };
                let values = texts.into_iter().map(|(key, text)| {
                    let value: Value = serde_json::from_str(&text)?;
                    Ok((key, value))
                });
                values.collect::<Result<_, _>>().map(Some)
            })
        }

        fn save<'a>(&'a self, id: &'a str, values: Values, lifetime: Duration) -> Answer<'a, ()> {
            Box::pin(async move {
                let ttl = ttl(lifetime)?;
                self.0.update(key(id)?, texts(values), &ttl).await?;
                Ok(())
            })
        }

        fn touch<'a>(&'a self, id: &'a str, lifetime: Duration) -> Option<Answer<'a, ()>> {
            Some(Box::pin(async move {
                Ok(self.0.update_ttl(&key(id)?, &ttl(lifetime)?).await?)
            }))
        }

        fn delete<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
            Box::pin(async { Ok(self.0.delete(&key(id)?).await?) })
        }
    }
}
