BEGIN TRANSACTION;
CREATE TABLE alerts (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT NOT NULL,
                        timestamp TEXT NOT NULL,
                        run_name TEXT NOT NULL,
                        title TEXT NOT NULL,
                        text TEXT,
                        level TEXT NOT NULL DEFAULT 'warn',
                        step INTEGER,
                        alert_id TEXT
                    );
CREATE TABLE artifact_aliases (
                        artifact_id INTEGER NOT NULL REFERENCES artifacts(id),
                        alias TEXT NOT NULL,
                        artifact_version_id INTEGER NOT NULL REFERENCES artifact_versions(id),
                        PRIMARY KEY (artifact_id, alias)
                    );
CREATE TABLE artifact_versions (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        artifact_id INTEGER NOT NULL REFERENCES artifacts(id),
                        version INTEGER NOT NULL,
                        manifest_digest TEXT NOT NULL,
                        manifest TEXT NOT NULL,
                        metadata TEXT,
                        size_bytes INTEGER NOT NULL,
                        producer_run_id TEXT,
                        producer_run_name TEXT,
                        created_at TEXT NOT NULL,
                        UNIQUE(artifact_id, version),
                        UNIQUE(artifact_id, manifest_digest)
                    );
CREATE TABLE artifacts (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        name TEXT NOT NULL UNIQUE,
                        type TEXT NOT NULL,
                        description TEXT,
                        created_at TEXT NOT NULL
                    );
CREATE TABLE configs (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT NOT NULL,
                        run_name TEXT NOT NULL,
                        config TEXT NOT NULL,
                        created_at TEXT NOT NULL,
                        UNIQUE(run_id)
                    );
INSERT INTO "configs" VALUES(1,'ad87d9133f3b4931a74ba348bd42df7f','first',X'7B226C72223A302E312C226F7074223A7B226E616D65223A226164616D222C226265746173223A5B302E392C302E39395D7D2C225F557365726E616D65223A6E756C6C2C225F43726561746564223A22323032362D31322D30315430333A33343A33382E3836383332352B30303A3030222C225F47726F7570223A6E756C6C7D','2026-12-01T03:34:38.933949+00:00');
INSERT INTO "configs" VALUES(2,'c75c0000f2824df0941d55791643e77f','second',X'7B226C72223A302E312C226F7074223A7B226E616D65223A226164616D222C226265746173223A5B302E392C302E39395D7D2C225F557365726E616D65223A6E756C6C2C225F43726561746564223A22323032362D31322D30315430333A33343A33392E3030393537322B30303A3030222C225F47726F7570223A6E756C6C7D','2026-12-01T03:34:39.062279+00:00');
CREATE TABLE external_run_artifact_links (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT,
                        run_name TEXT,
                        source_project TEXT NOT NULL,
                        source_version_id INTEGER NOT NULL,
                        source_artifact TEXT NOT NULL,
                        source_type TEXT NOT NULL,
                        source_version INTEGER NOT NULL,
                        source_size_bytes INTEGER NOT NULL,
                        direction TEXT NOT NULL CHECK(direction IN ('input', 'output')),
                        created_at TEXT NOT NULL
                    );
CREATE TABLE metrics (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT NOT NULL,
                        timestamp TEXT NOT NULL,
                        run_name TEXT NOT NULL,
                        step INTEGER NOT NULL,
                        metrics TEXT NOT NULL
                    , log_id TEXT, space_id TEXT);
INSERT INTO "metrics" VALUES(1,'ad87d9133f3b4931a74ba348bd42df7f','2026-12-01T03:34:38.870473+00:00','first',0,X'7B22747261696E2F6C6F7373223A312E302C2276616C223A7B22616363223A302E307D2C22776F7264223A226F6B227D','2899ba1bb94d4325aa73feb4186f9be9',NULL);
INSERT INTO "metrics" VALUES(2,'ad87d9133f3b4931a74ba348bd42df7f','2026-12-01T03:34:38.870473+00:00','first',1,X'7B22747261696E2F6C6F7373223A302E352C2276616C223A7B22616363223A302E32357D2C22776F7264223A226F6B227D','55ac3f4adf614c739a21b2de567f2b92',NULL);
INSERT INTO "metrics" VALUES(3,'ad87d9133f3b4931a74ba348bd42df7f','2026-12-01T03:34:38.870473+00:00','first',2,X'7B22747261696E2F6C6F7373223A302E333333333333333333333333333333332C2276616C223A7B22616363223A302E357D2C22776F7264223A226F6B227D','59a0409452904e4c8aa297006057b64a',NULL);
INSERT INTO "metrics" VALUES(4,'ad87d9133f3b4931a74ba348bd42df7f','2026-12-01T03:34:38.870473+00:00','first',7,X'7B22626164223A224E614E222C227570223A22496E66696E697479227D','f6a8b523bce84ca1a783cd3bd41b873d',NULL);
INSERT INTO "metrics" VALUES(5,'c75c0000f2824df0941d55791643e77f','2026-12-01T03:34:39.016068+00:00','second',0,X'7B22747261696E2F6C6F7373223A312E302C2276616C223A7B22616363223A302E307D2C22776F7264223A226F6B227D','480d485769264f1abb86bf5775671dfb',NULL);
INSERT INTO "metrics" VALUES(6,'c75c0000f2824df0941d55791643e77f','2026-12-01T03:34:39.016068+00:00','second',1,X'7B22747261696E2F6C6F7373223A302E352C2276616C223A7B22616363223A302E32357D2C22776F7264223A226F6B227D','d7243d47d0604d83af215741a77b7166',NULL);
INSERT INTO "metrics" VALUES(7,'c75c0000f2824df0941d55791643e77f','2026-12-01T03:34:39.016068+00:00','second',2,X'7B22747261696E2F6C6F7373223A302E333333333333333333333333333333332C2276616C223A7B22616363223A302E357D2C22776F7264223A226F6B227D','57218cf03fb04fff903aebd4f4fd52da',NULL);
INSERT INTO "metrics" VALUES(8,'c75c0000f2824df0941d55791643e77f','2026-12-01T03:34:39.016068+00:00','second',7,X'7B22626164223A224E614E222C227570223A22496E66696E697479227D','322a3c0169944f47b8466fe262d46ff1',NULL);
CREATE TABLE pending_uploads (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        space_id TEXT NOT NULL,
                        run_id TEXT,
                        run_name TEXT,
                        step INTEGER,
                        file_path TEXT NOT NULL,
                        relative_path TEXT,
                        created_at TEXT NOT NULL
                    , kind TEXT NOT NULL DEFAULT 'media', digest TEXT);
CREATE TABLE project_metadata (
                        key TEXT PRIMARY KEY,
                        value TEXT NOT NULL
                    );
CREATE TABLE run_artifact_links (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT,
                        run_name TEXT,
                        run_project TEXT,
                        artifact_version_id INTEGER NOT NULL REFERENCES artifact_versions(id),
                        direction TEXT NOT NULL CHECK(direction IN ('input', 'output')),
                        created_at TEXT NOT NULL
                    );
CREATE TABLE system_metrics (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        run_id TEXT NOT NULL,
                        timestamp TEXT NOT NULL,
                        run_name TEXT NOT NULL,
                        metrics TEXT NOT NULL
                    , log_id TEXT, space_id TEXT);
CREATE TABLE traces (
                        id TEXT PRIMARY KEY,
                        run_id TEXT NOT NULL,
                        timestamp TEXT NOT NULL,
                        run_name TEXT NOT NULL,
                        step INTEGER NOT NULL,
                        key TEXT NOT NULL,
                        trace_index INTEGER,
                        messages TEXT NOT NULL,
                        metadata TEXT NOT NULL,
                        search_text TEXT NOT NULL,
                        log_id TEXT,
                        space_id TEXT,
                        spans TEXT NOT NULL DEFAULT '[]'
                    );
CREATE INDEX idx_run_artifact_links_run
                    ON run_artifact_links(run_id, run_name)
                    ;
CREATE INDEX idx_run_artifact_links_name
                    ON run_artifact_links(run_name, run_id)
                    ;
CREATE INDEX idx_run_artifact_links_version
                    ON run_artifact_links(artifact_version_id)
                    ;
CREATE INDEX idx_run_artifact_links_project_run
                    ON run_artifact_links(run_project, run_id, run_name);
CREATE INDEX idx_external_artifact_links_run
                    ON external_run_artifact_links(run_id, run_name);
CREATE UNIQUE INDEX idx_external_artifact_links_unique
                    ON external_run_artifact_links(
                        COALESCE(run_id, ''), COALESCE(run_name, ''),
                        source_project, source_version_id, direction
                    );
CREATE INDEX idx_pending_uploads_kind
                    ON pending_uploads(kind)
                    ;
CREATE INDEX idx_metrics_run_step
                    ON metrics(run_id, step)
                    ;
CREATE INDEX idx_metrics_run_timestamp
                    ON metrics(run_id, timestamp)
                    ;
CREATE INDEX idx_configs_run_name
                    ON configs(run_name)
                    ;
CREATE INDEX idx_system_metrics_run_timestamp
                    ON system_metrics(run_id, timestamp)
                    ;
CREATE INDEX idx_traces_run_step
                    ON traces(run_id, step)
                    ;
CREATE INDEX idx_traces_run_timestamp
                    ON traces(run_id, timestamp)
                    ;
CREATE INDEX idx_traces_search
                    ON traces(search_text)
                    ;
CREATE INDEX idx_alerts_run
                    ON alerts(run_id)
                    ;
CREATE INDEX idx_alerts_timestamp
                    ON alerts(timestamp)
                    ;
CREATE UNIQUE INDEX idx_alerts_alert_id
                    ON alerts(alert_id) WHERE alert_id IS NOT NULL
                    ;
CREATE UNIQUE INDEX idx_metrics_log_id
                        ON metrics(log_id) WHERE log_id IS NOT NULL;
CREATE INDEX idx_metrics_pending
                        ON metrics(space_id) WHERE space_id IS NOT NULL;
CREATE UNIQUE INDEX idx_system_metrics_log_id
                        ON system_metrics(log_id) WHERE log_id IS NOT NULL;
CREATE INDEX idx_system_metrics_pending
                        ON system_metrics(space_id) WHERE space_id IS NOT NULL;
CREATE INDEX idx_metrics_run_record
                        ON metrics(run_id, run_name, timestamp);
CREATE UNIQUE INDEX idx_run_artifact_links_unique
                    ON run_artifact_links(
                        COALESCE(run_project, ''), COALESCE(run_id, ''),
                        COALESCE(run_name, ''), artifact_version_id, direction
                    );
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('metrics',8);
INSERT INTO "sqlite_sequence" VALUES('configs',2);
COMMIT;
