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
INSERT INTO "datasets" VALUES('e3f90668fd9944e9aa8d0be5e0070958',1,'wine-red','ff280f07','http','{"url": "https://example.org/wine.csv"}',NULL,NULL);
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
INSERT INTO "experiments" VALUES(0,'Default','/tmp/mlflow-store/mlruns/0','active',1795948047036,1795948047036,'default');
INSERT INTO "experiments" VALUES(1,'wine','/tmp/mlflow-store/mlruns/1','active',1795948047066,1795948047066,'default');
CREATE TABLE input_tags (
	input_uuid VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	value VARCHAR(500) NOT NULL, 
	CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name)
);
INSERT INTO "input_tags" VALUES('a56c7a808534496580d747409ffdf36f','split','a');
INSERT INTO "input_tags" VALUES('a56c7a808534496580d747409ffdf36f','mlflow.data.context','training');
CREATE TABLE inputs (
	input_uuid VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
INSERT INTO "inputs" VALUES('a56c7a808534496580d747409ffdf36f','DATASET','e3f90668fd9944e9aa8d0be5e0070958','RUN','fd3b3f328cb541eb941f0d829c7a503c',0);
INSERT INTO "inputs" VALUES('eef60ba67edb4470b4047ba019b63d5f','RUN_OUTPUT','fd3b3f328cb541eb941f0d829c7a503c','MODEL_OUTPUT','m-0adde6162a1344c19650452820a5d89e',3);
CREATE TABLE logged_model_params (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	param_key VARCHAR(255) NOT NULL, 
	param_value TEXT NOT NULL, 
	CONSTRAINT logged_model_params_pk PRIMARY KEY (model_id, param_key), 
	CONSTRAINT fk_logged_model_params_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_params_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
INSERT INTO "logged_model_params" VALUES('m-0adde6162a1344c19650452820a5d89e',1,'depth','6');
INSERT INTO "logged_model_params" VALUES('m-0adde6162a1344c19650452820a5d89e',1,'kind','tree');
CREATE TABLE logged_model_tags (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	tag_key VARCHAR(255) NOT NULL, 
	tag_value TEXT NOT NULL, 
	CONSTRAINT logged_model_tags_pk PRIMARY KEY (model_id, tag_key), 
	CONSTRAINT fk_logged_model_tags_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_tags_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
INSERT INTO "logged_model_tags" VALUES('m-0adde6162a1344c19650452820a5d89e',1,'mlflow.user','ada');
INSERT INTO "logged_model_tags" VALUES('m-0adde6162a1344c19650452820a5d89e',1,'mlflow.source.name','training.py');
INSERT INTO "logged_model_tags" VALUES('m-0adde6162a1344c19650452820a5d89e',1,'mlflow.source.type','LOCAL');
INSERT INTO "logged_model_tags" VALUES('m-0adde6162a1344c19650452820a5d89e',1,'ciplug.run','00000000000000000000000000000001');
INSERT INTO "logged_model_tags" VALUES('m-0adde6162a1344c19650452820a5d89e',1,'stage','trial');
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
INSERT INTO "logged_models" VALUES('m-0adde6162a1344c19650452820a5d89e',1,'classifier','/tmp/mlflow-store/mlruns/1/models/m-0adde6162a1344c19650452820a5d89e/artifacts',1795948047831,1795948047831,1,'active',NULL,'fd3b3f328cb541eb941f0d829c7a503c',NULL);
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
INSERT INTO "metrics" VALUES('loss',1.0,1795948047306,'fd3b3f328cb541eb941f0d829c7a503c',1,0);
INSERT INTO "metrics" VALUES('loss',0.5,1795948047326,'fd3b3f328cb541eb941f0d829c7a503c',2,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1795948047354,'fd3b3f328cb541eb941f0d829c7a503c',3,0);
INSERT INTO "metrics" VALUES('accuracy',0.9,1795948047394,'fd3b3f328cb541eb941f0d829c7a503c',0,0);
INSERT INTO "metrics" VALUES('val/f1 macro',0.8,1795948047394,'fd3b3f328cb541eb941f0d829c7a503c',0,0);
INSERT INTO "metrics" VALUES('bad',0.0,1795948047394,'fd3b3f328cb541eb941f0d829c7a503c',0,1);
INSERT INTO "metrics" VALUES('accuracy',0.8,1795948047535,'8847465e84b04ec184078a8bf51f0d1e',0,0);
INSERT INTO "metrics" VALUES('accuracy',0.9,1795948047662,'d5be5c23b85f4570a20168a7955966d8',0,0);
INSERT INTO "metrics" VALUES('accuracy',0.7,1795948047732,'5438ab4a917649cd9266677ea18e8bbd',0,0);
INSERT INTO "metrics" VALUES('accuracy',0.1,1795948047951,'d23616d568344dc39ad9b5c3d3f29982',0,0);
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "params" VALUES('lr','0.01','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "params" VALUES('depth','6','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "params" VALUES('optimizer','adam','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "params" VALUES('shuffle','True','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "params" VALUES('eps','1e-08','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "params" VALUES('code','007','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "params" VALUES('note','two
lines','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "params" VALUES('fold','0','8847465e84b04ec184078a8bf51f0d1e');
INSERT INTO "params" VALUES('fold','1','d5be5c23b85f4570a20168a7955966d8');
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
INSERT INTO "runs" VALUES('fd3b3f328cb541eb941f0d829c7a503c','sweep','UNKNOWN','','','ada','FINISHED',1795948047192,1795948047895,'','active','/tmp/mlflow-store/mlruns/1/fd3b3f328cb541eb941f0d829c7a503c/artifacts',1,NULL);
INSERT INTO "runs" VALUES('8847465e84b04ec184078a8bf51f0d1e','fold-0','UNKNOWN','','','ada','FINISHED',1795948047484,1795948047551,'','active','/tmp/mlflow-store/mlruns/1/8847465e84b04ec184078a8bf51f0d1e/artifacts',1,NULL);
INSERT INTO "runs" VALUES('d5be5c23b85f4570a20168a7955966d8','fold-1','UNKNOWN','','','ada','FINISHED',1795948047588,1795948047768,'','active','/tmp/mlflow-store/mlruns/1/d5be5c23b85f4570a20168a7955966d8/artifacts',1,NULL);
INSERT INTO "runs" VALUES('5438ab4a917649cd9266677ea18e8bbd','inner','UNKNOWN','','','ada','FINISHED',1795948047700,1795948047754,'','active','/tmp/mlflow-store/mlruns/1/5438ab4a917649cd9266677ea18e8bbd/artifacts',1,NULL);
INSERT INTO "runs" VALUES('d23616d568344dc39ad9b5c3d3f29982','mercurial-snail-466','UNKNOWN','','','unknown','FAILED',1795948047907,1795948047979,'','active','/tmp/mlflow-store/mlruns/1/d23616d568344dc39ad9b5c3d3f29982/artifacts',1,NULL);
INSERT INTO "runs" VALUES('444ecd168f574bedaf2c5c356cb44162','indecisive-shark-850','UNKNOWN','','','unknown','RUNNING',1795948048015,NULL,'','deleted','/tmp/mlflow-store/mlruns/1/444ecd168f574bedaf2c5c356cb44162/artifacts',1,1795948048059);
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "tags" VALUES('mlflow.user','ada','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "tags" VALUES('mlflow.runName','sweep','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "tags" VALUES('team','vision ✓','fd3b3f328cb541eb941f0d829c7a503c');
INSERT INTO "tags" VALUES('mlflow.user','ada','8847465e84b04ec184078a8bf51f0d1e');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','8847465e84b04ec184078a8bf51f0d1e');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','8847465e84b04ec184078a8bf51f0d1e');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','8847465e84b04ec184078a8bf51f0d1e');
INSERT INTO "tags" VALUES('mlflow.parentRunId','fd3b3f328cb541eb941f0d829c7a503c','8847465e84b04ec184078a8bf51f0d1e');
INSERT INTO "tags" VALUES('mlflow.runName','fold-0','8847465e84b04ec184078a8bf51f0d1e');
INSERT INTO "tags" VALUES('mlflow.user','ada','d5be5c23b85f4570a20168a7955966d8');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','d5be5c23b85f4570a20168a7955966d8');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','d5be5c23b85f4570a20168a7955966d8');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','d5be5c23b85f4570a20168a7955966d8');
INSERT INTO "tags" VALUES('mlflow.parentRunId','fd3b3f328cb541eb941f0d829c7a503c','d5be5c23b85f4570a20168a7955966d8');
INSERT INTO "tags" VALUES('mlflow.runName','fold-1','d5be5c23b85f4570a20168a7955966d8');
INSERT INTO "tags" VALUES('mlflow.user','ada','5438ab4a917649cd9266677ea18e8bbd');
INSERT INTO "tags" VALUES('mlflow.source.name','training.py','5438ab4a917649cd9266677ea18e8bbd');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','5438ab4a917649cd9266677ea18e8bbd');
INSERT INTO "tags" VALUES('ciplug.run','00000000000000000000000000000001','5438ab4a917649cd9266677ea18e8bbd');
INSERT INTO "tags" VALUES('mlflow.parentRunId','d5be5c23b85f4570a20168a7955966d8','5438ab4a917649cd9266677ea18e8bbd');
INSERT INTO "tags" VALUES('mlflow.runName','inner','5438ab4a917649cd9266677ea18e8bbd');
INSERT INTO "tags" VALUES('mlflow.parentRunId','fd3b3f328cb541eb941f0d829c7a503c','d23616d568344dc39ad9b5c3d3f29982');
INSERT INTO "tags" VALUES('mlflow.runName','mercurial-snail-466','d23616d568344dc39ad9b5c3d3f29982');
INSERT INTO "tags" VALUES('mlflow.runName','indecisive-shark-850','444ecd168f574bedaf2c5c356cb44162');
