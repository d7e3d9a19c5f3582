CREATE TABLE experiments (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), creation_time BIGINT, last_update_time BIGINT, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	UNIQUE (name)
);
INSERT INTO "experiments" VALUES(0,'Default','./mlruns/0','active',1795923601018,1795923601018);
INSERT INTO "experiments" VALUES(1,'wine','./mlruns/1','active',1795923601051,1795923601051);
CREATE TABLE "metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	step BIGINT DEFAULT '0' NOT NULL, 
	is_nan BOOLEAN DEFAULT '0' NOT NULL, 
	CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO "metrics" VALUES('loss',1.0,1795923601367,'e214c064bb6a4fb3a3d9e625c2fdf1db',1,0);
INSERT INTO "metrics" VALUES('loss',0.5,1795923601398,'e214c064bb6a4fb3a3d9e625c2fdf1db',2,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1795923601436,'e214c064bb6a4fb3a3d9e625c2fdf1db',3,0);
INSERT INTO "metrics" VALUES('accuracy',0.9,1795923601474,'e214c064bb6a4fb3a3d9e625c2fdf1db',0,0);
INSERT INTO "metrics" VALUES('val/f1 macro',0.8,1795923601474,'e214c064bb6a4fb3a3d9e625c2fdf1db',0,0);
INSERT INTO "metrics" VALUES('bad',0.0,1795923601474,'e214c064bb6a4fb3a3d9e625c2fdf1db',0,1);
INSERT INTO "metrics" VALUES('accuracy',0.8,1795923601624,'80c6364494fc4a0497b7edaac58b5f3e',0,0);
INSERT INTO "metrics" VALUES('accuracy',0.9,1795923601735,'1ffa3b08048d4828a92e62c362b25312',0,0);
INSERT INTO "metrics" VALUES('accuracy',0.7,1795923601803,'859f41ee5d004e38807d1ff82e114aad',0,0);
INSERT INTO "metrics" VALUES('accuracy',0.1,1795923601939,'d1ca5b843cd04ba88a13155d1f7955f3',0,0);
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(500) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "params" VALUES('lr','0.01','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "params" VALUES('depth','6','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "params" VALUES('optimizer','adam','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "params" VALUES('shuffle','True','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "params" VALUES('eps','1e-08','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "params" VALUES('code','007','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "params" VALUES('note','two
lines','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "params" VALUES('fold','0','80c6364494fc4a0497b7edaac58b5f3e');
INSERT INTO "params" VALUES('fold','1','1ffa3b08048d4828a92e62c362b25312');
CREATE TABLE "runs" (
	run_uuid VARCHAR(32) NOT NULL, 
	name VARCHAR(250), 
	source_type VARCHAR(20), 
	source_name VARCHAR(500), 
	entry_point_name VARCHAR(50), 
	user_id VARCHAR(256), 
	status VARCHAR(9), 
	start_time BIGINT, 
	end_time BIGINT, 
	source_version VARCHAR(50), 
	lifecycle_stage VARCHAR(20), 
	artifact_uri VARCHAR(200), 
	experiment_id INTEGER, deleted_time BIGINT, 
	CONSTRAINT run_pk PRIMARY KEY (run_uuid), 
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
INSERT INTO "runs" VALUES('e214c064bb6a4fb3a3d9e625c2fdf1db','sweep','UNKNOWN','','','ada','FINISHED',1795923601246,1795923601874,'','active','./mlruns/1/e214c064bb6a4fb3a3d9e625c2fdf1db/artifacts',1,NULL);
INSERT INTO "runs" VALUES('80c6364494fc4a0497b7edaac58b5f3e','fold-0','UNKNOWN','','','ada','FINISHED',1795923601572,1795923601649,'','active','./mlruns/1/80c6364494fc4a0497b7edaac58b5f3e/artifacts',1,NULL);
INSERT INTO "runs" VALUES('1ffa3b08048d4828a92e62c362b25312','fold-1','UNKNOWN','','','ada','FINISHED',1795923601678,1795923601853,'','active','./mlruns/1/1ffa3b08048d4828a92e62c362b25312/artifacts',1,NULL);
INSERT INTO "runs" VALUES('859f41ee5d004e38807d1ff82e114aad','inner','UNKNOWN','','','ada','FINISHED',1795923601761,1795923601831,'','active','./mlruns/1/859f41ee5d004e38807d1ff82e114aad/artifacts',1,NULL);
INSERT INTO "runs" VALUES('d1ca5b843cd04ba88a13155d1f7955f3','burly-elk-854','UNKNOWN','','','unknown','FAILED',1795923601899,1795923601983,'','active','./mlruns/1/d1ca5b843cd04ba88a13155d1f7955f3/artifacts',1,NULL);
INSERT INTO "runs" VALUES('b826a374e7644b6bbcccab7f61b69869','capable-fawn-425','UNKNOWN','','','unknown','RUNNING',1795923602026,NULL,'','deleted','./mlruns/1/b826a374e7644b6bbcccab7f61b69869/artifacts',1,1795923602069);
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "tags" VALUES('mlflow.user','ada','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "tags" VALUES('mlflow.runName','sweep','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "tags" VALUES('team','vision ✓','e214c064bb6a4fb3a3d9e625c2fdf1db');
INSERT INTO "tags" VALUES('mlflow.user','ada','80c6364494fc4a0497b7edaac58b5f3e');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','80c6364494fc4a0497b7edaac58b5f3e');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','80c6364494fc4a0497b7edaac58b5f3e');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','80c6364494fc4a0497b7edaac58b5f3e');
INSERT INTO "tags" VALUES('mlflow.parentRunId','e214c064bb6a4fb3a3d9e625c2fdf1db','80c6364494fc4a0497b7edaac58b5f3e');
INSERT INTO "tags" VALUES('mlflow.runName','fold-0','80c6364494fc4a0497b7edaac58b5f3e');
INSERT INTO "tags" VALUES('mlflow.user','ada','1ffa3b08048d4828a92e62c362b25312');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','1ffa3b08048d4828a92e62c362b25312');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','1ffa3b08048d4828a92e62c362b25312');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','1ffa3b08048d4828a92e62c362b25312');
INSERT INTO "tags" VALUES('mlflow.parentRunId','e214c064bb6a4fb3a3d9e625c2fdf1db','1ffa3b08048d4828a92e62c362b25312');
INSERT INTO "tags" VALUES('mlflow.runName','fold-1','1ffa3b08048d4828a92e62c362b25312');
INSERT INTO "tags" VALUES('mlflow.user','ada','859f41ee5d004e38807d1ff82e114aad');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','859f41ee5d004e38807d1ff82e114aad');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','859f41ee5d004e38807d1ff82e114aad');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','859f41ee5d004e38807d1ff82e114aad');
INSERT INTO "tags" VALUES('mlflow.parentRunId','1ffa3b08048d4828a92e62c362b25312','859f41ee5d004e38807d1ff82e114aad');
INSERT INTO "tags" VALUES('mlflow.runName','inner','859f41ee5d004e38807d1ff82e114aad');
INSERT INTO "tags" VALUES('mlflow.parentRunId','e214c064bb6a4fb3a3d9e625c2fdf1db','d1ca5b843cd04ba88a13155d1f7955f3');
INSERT INTO "tags" VALUES('mlflow.runName','burly-elk-854','d1ca5b843cd04ba88a13155d1f7955f3');
INSERT INTO "tags" VALUES('mlflow.runName','capable-fawn-425','b826a374e7644b6bbcccab7f61b69869');
