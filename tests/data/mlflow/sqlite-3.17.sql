CREATE TABLE "datasets" (
	dataset_uuid VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	digest VARCHAR(36) NOT NULL, 
	dataset_source_type VARCHAR(36) NOT NULL, 
	dataset_source TEXT NOT NULL, 
	dataset_schema TEXT, 
	dataset_profile TEXT, 
	CONSTRAINT dataset_pk PRIMARY KEY (experiment_id, name, digest), 
	CONSTRAINT fk_datasets_experiment_id_experiments FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
INSERT INTO "datasets" VALUES('a2bf8f49ea7e439995c15267145a93c6',1,'wine-red','ff280f07','http','{"url": "https://example.org/wine.csv"}',NULL,NULL);
CREATE TABLE "experiments" (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), 
	creation_time BIGINT, 
	last_update_time BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)
);
INSERT INTO "experiments" VALUES(0,'Default','/tmp/mlflow-store/mlruns/0','active',1795923589758,1795923589758,'default');
INSERT INTO "experiments" VALUES(1,'wine','/tmp/mlflow-store/mlruns/1','active',1795923589802,1795923589802,'default');
CREATE TABLE input_tags (
	input_uuid VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	value VARCHAR(500) NOT NULL, 
	CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name)
);
INSERT INTO "input_tags" VALUES('225eb022b4034485be503d4e248b15e2','split','a');
INSERT INTO "input_tags" VALUES('225eb022b4034485be503d4e248b15e2','mlflow.data.context','training');
CREATE TABLE inputs (
	input_uuid VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
INSERT INTO "inputs" VALUES('225eb022b4034485be503d4e248b15e2','DATASET','a2bf8f49ea7e439995c15267145a93c6','RUN','cde687a8c16b4428b6431360df3ddc8c',0);
INSERT INTO "inputs" VALUES('9350f2a51f6e4d88abcfe1ff4ca50938','RUN_OUTPUT','cde687a8c16b4428b6431360df3ddc8c','MODEL_OUTPUT','m-2e77571f0cbc48c3818e6a58098dd13c',3);
CREATE TABLE logged_models (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	artifact_location VARCHAR(1000) NOT NULL, 
	creation_timestamp_ms BIGINT NOT NULL, 
	last_updated_timestamp_ms BIGINT NOT NULL, 
	status INTEGER NOT NULL, 
	lifecycle_stage VARCHAR(32), 
	model_type VARCHAR(500), 
	source_run_id VARCHAR(32), 
	status_message VARCHAR(1000), 
	CONSTRAINT logged_models_pk PRIMARY KEY (model_id), 
	CONSTRAINT logged_models_lifecycle_stage_check CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT fk_logged_models_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
INSERT INTO "logged_models" VALUES('m-2e77571f0cbc48c3818e6a58098dd13c',1,'classifier','/tmp/mlflow-store/mlruns/1/models/m-2e77571f0cbc48c3818e6a58098dd13c/artifacts',1795923591040,1795923591040,1,'active',NULL,'cde687a8c16b4428b6431360df3ddc8c',NULL);
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
INSERT INTO "metrics" VALUES('loss',1.0,1795923590226,'cde687a8c16b4428b6431360df3ddc8c',1,0);
INSERT INTO "metrics" VALUES('loss',0.5,1795923590294,'cde687a8c16b4428b6431360df3ddc8c',2,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1795923590344,'cde687a8c16b4428b6431360df3ddc8c',3,0);
INSERT INTO "metrics" VALUES('accuracy',0.9,1795923590383,'cde687a8c16b4428b6431360df3ddc8c',0,0);
INSERT INTO "metrics" VALUES('val/f1 macro',0.8,1795923590383,'cde687a8c16b4428b6431360df3ddc8c',0,0);
INSERT INTO "metrics" VALUES('bad',0.0,1795923590383,'cde687a8c16b4428b6431360df3ddc8c',0,1);
INSERT INTO "metrics" VALUES('accuracy',0.8,1795923590612,'ce6ca3b71dc64cc99c676c09872ff2cf',0,0);
INSERT INTO "metrics" VALUES('accuracy',0.9,1795923590792,'d1d24223455e473791acc96851545796',0,0);
INSERT INTO "metrics" VALUES('accuracy',0.7,1795923590872,'f5ca5c7dad7f4ff2adf3683e76a14a4a',0,0);
INSERT INTO "metrics" VALUES('accuracy',0.1,1795923591211,'5f2c802de7f145a4b392ca02d7bce2f7',0,0);
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "params" VALUES('lr','0.01','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "params" VALUES('depth','6','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "params" VALUES('optimizer','adam','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "params" VALUES('shuffle','True','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "params" VALUES('eps','1e-08','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "params" VALUES('code','007','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "params" VALUES('note','two
lines','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "params" VALUES('fold','0','ce6ca3b71dc64cc99c676c09872ff2cf');
INSERT INTO "params" VALUES('fold','1','d1d24223455e473791acc96851545796');
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
INSERT INTO "runs" VALUES('cde687a8c16b4428b6431360df3ddc8c','sweep','UNKNOWN','','','ada','FINISHED',1795923590037,1795923591127,'','active','/tmp/mlflow-store/mlruns/1/cde687a8c16b4428b6431360df3ddc8c/artifacts',1,NULL);
INSERT INTO "runs" VALUES('ce6ca3b71dc64cc99c676c09872ff2cf','fold-0','UNKNOWN','','','ada','FINISHED',1795923590532,1795923590648,'','active','/tmp/mlflow-store/mlruns/1/ce6ca3b71dc64cc99c676c09872ff2cf/artifacts',1,NULL);
INSERT INTO "runs" VALUES('d1d24223455e473791acc96851545796','fold-1','UNKNOWN','','','ada','FINISHED',1795923590708,1795923590948,'','active','/tmp/mlflow-store/mlruns/1/d1d24223455e473791acc96851545796/artifacts',1,NULL);
INSERT INTO "runs" VALUES('f5ca5c7dad7f4ff2adf3683e76a14a4a','inner','UNKNOWN','','','ada','FINISHED',1795923590824,1795923590908,'','active','/tmp/mlflow-store/mlruns/1/f5ca5c7dad7f4ff2adf3683e76a14a4a/artifacts',1,NULL);
INSERT INTO "runs" VALUES('5f2c802de7f145a4b392ca02d7bce2f7','powerful-mare-410','UNKNOWN','','','unknown','FAILED',1795923591164,1795923591232,'','active','/tmp/mlflow-store/mlruns/1/5f2c802de7f145a4b392ca02d7bce2f7/artifacts',1,NULL);
INSERT INTO "runs" VALUES('382af1fdbbb44203a0d33584e5a729bc','casual-bear-467','UNKNOWN','','','unknown','RUNNING',1795923591271,NULL,'','deleted','/tmp/mlflow-store/mlruns/1/382af1fdbbb44203a0d33584e5a729bc/artifacts',1,1795923591318);
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "tags" VALUES('mlflow.user','ada','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "tags" VALUES('mlflow.runName','sweep','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "tags" VALUES('team','vision ✓','cde687a8c16b4428b6431360df3ddc8c');
INSERT INTO "tags" VALUES('mlflow.user','ada','ce6ca3b71dc64cc99c676c09872ff2cf');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','ce6ca3b71dc64cc99c676c09872ff2cf');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','ce6ca3b71dc64cc99c676c09872ff2cf');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','ce6ca3b71dc64cc99c676c09872ff2cf');
INSERT INTO "tags" VALUES('mlflow.parentRunId','cde687a8c16b4428b6431360df3ddc8c','ce6ca3b71dc64cc99c676c09872ff2cf');
INSERT INTO "tags" VALUES('mlflow.runName','fold-0','ce6ca3b71dc64cc99c676c09872ff2cf');
INSERT INTO "tags" VALUES('mlflow.user','ada','d1d24223455e473791acc96851545796');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','d1d24223455e473791acc96851545796');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','d1d24223455e473791acc96851545796');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','d1d24223455e473791acc96851545796');
INSERT INTO "tags" VALUES('mlflow.parentRunId','cde687a8c16b4428b6431360df3ddc8c','d1d24223455e473791acc96851545796');
INSERT INTO "tags" VALUES('mlflow.runName','fold-1','d1d24223455e473791acc96851545796');
INSERT INTO "tags" VALUES('mlflow.user','ada','f5ca5c7dad7f4ff2adf3683e76a14a4a');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','f5ca5c7dad7f4ff2adf3683e76a14a4a');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','f5ca5c7dad7f4ff2adf3683e76a14a4a');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','f5ca5c7dad7f4ff2adf3683e76a14a4a');
INSERT INTO "tags" VALUES('mlflow.parentRunId','d1d24223455e473791acc96851545796','f5ca5c7dad7f4ff2adf3683e76a14a4a');
INSERT INTO "tags" VALUES('mlflow.runName','inner','f5ca5c7dad7f4ff2adf3683e76a14a4a');
INSERT INTO "tags" VALUES('mlflow.parentRunId','cde687a8c16b4428b6431360df3ddc8c','5f2c802de7f145a4b392ca02d7bce2f7');
INSERT INTO "tags" VALUES('mlflow.runName','powerful-mare-410','5f2c802de7f145a4b392ca02d7bce2f7');
INSERT INTO "tags" VALUES('mlflow.runName','casual-bear-467','382af1fdbbb44203a0d33584e5a729bc');
