/**
 * Trains, records the run, compares it with its baseline, gates it, and comments on the pull request.
 *
 *     ciplug source: 'git+https://git.example.com/ml/ciplug.git@<commit>', command: 'python train.py',
 *            githubToken: 'id-of-a-secret-text'
 *
 * The settings are the inputs of docs/jenkins.md; a list or lines for those with several values. `source` is what
 * pip installs ciplug from. `githubToken`, `gitlabToken` and `pushToken` are ids of credentials, of the kind
 * "secret text". Needs an agent with sh, git and Python 3.10 or newer.
 */
def call(Map settings = [:]) {
    Map inputs = [
        command: 'COMMAND', model: 'MODEL', name: 'NAME', seed: 'SEED', metrics: 'METRICS', params: 'PARAMS',
        artifacts: 'ARTIFACTS', datasets: 'DATASETS', tags: 'TAGS', store: 'STORE', artifactStore: 'ARTIFACT_STORE',
        artifactLimit: 'ARTIFACT_LIMIT', config: 'CONFIG', outputDir: 'OUTPUT_DIR', bundle: 'BUNDLE',
        baseline: 'BASELINE', comment: 'COMMENT', label: 'LABEL', failOn: 'FAIL_ON', promoteTo: 'PROMOTE_TO',
    ]
    Map secrets = [githubToken: 'CIPLUG_GITHUB_TOKEN', gitlabToken: 'CIPLUG_GITLAB_TOKEN', pushToken: 'CIPLUG_PUSH_TOKEN']
    List variables = []
    List credentials = []
    for (String key in settings.keySet()) {
        def value = settings[key]
        if (inputs.containsKey(key)) {
            String text = value instanceof List ? value.join('\n') : "${value}"
            variables.add("CIPLUG_INPUT_${inputs[key]}=${text}")
        } else if (secrets.containsKey(key)) {
            credentials.add(string(credentialsId: value, variable: secrets[key]))
        } else if (key != 'source') {
            error "ciplug: unknown setting '${key}'"
        }
    }
    if (!settings.source) {
        error "ciplug: 'source' is missing: what pip installs ciplug from"
    }
    String folder = settings.outputDir ?: 'ciplug-report'
    variables.add("CIPLUG_INPUT_OUTPUT_DIR=${folder}")
    variables.add("CIPLUG_SOURCE=${settings.source}")
    withEnv(variables) {
        withCredentials(credentials) {
            try {
                sh label: 'ciplug', script: '''
                    set +x
                    rm -rf "$WORKSPACE_TMP/ciplug"
                    python3 -I -m venv "$WORKSPACE_TMP/ciplug"
                    "$WORKSPACE_TMP/ciplug/bin/python" -I -m pip install --quiet "$CIPLUG_SOURCE"
                    "$WORKSPACE_TMP/ciplug/bin/python" -I -m ciplug.action
                '''
            } finally {
                junit testResults: "${folder}/junit.xml", allowEmptyResults: true
                archiveArtifacts artifacts: "${folder}/**", allowEmptyArchive: true
            }
        }
    }
}
