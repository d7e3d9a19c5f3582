/**
 * Trains without any credential, then records the run, compares it with its baseline, judges it, and comments on the
 * pull request.
 *
 *     ciplug source: 'git+https://git.example.com/ml/ciplug.git@<commit>', command: 'python train.py',
 *            githubToken: 'id-of-a-secret-text'
 *
 * The settings are the inputs of docs/jenkins.md; a list or lines for those with several values. `source` is what
 * pip installs ciplug from. Tokens are ids of credentials of the kind "secret text", `jenkinsLogin` of the kind
 * "username with password"; a build of a fork's pull request gets none of them. Returns a map of what later stages
 * may want: run_id, verdict, report, comment_url, summary. Needs an agent with sh, git and Python 3.10 or newer.
 */
def call(Map settings = [:]) {
    Map inputs = [
        command: 'COMMAND', model: 'MODEL', name: 'NAME', seed: 'SEED', metrics: 'METRICS', params: 'PARAMS',
        artifacts: 'ARTIFACTS', datasets: 'DATASETS', tags: 'TAGS', allowUnchanged: 'ALLOW_UNCHANGED',
        store: 'STORE', artifactStore: 'ARTIFACT_STORE', artifactLimit: 'ARTIFACT_LIMIT', config: 'CONFIG', outputDir: 'OUTPUT_DIR', bundle: 'BUNDLE',
        handOver: 'HAND_OVER', collect: 'COLLECT',
        baseline: 'BASELINE', comment: 'COMMENT', label: 'LABEL', failOn: 'FAIL_ON', promoteTo: 'PROMOTE_TO',
    ]
    Map secrets = [githubToken: 'CIPLUG_GITHUB_TOKEN', gitlabToken: 'CIPLUG_GITLAB_TOKEN',
                   giteaToken: 'CIPLUG_GITEA_TOKEN', bitbucketToken: 'CIPLUG_BITBUCKET_TOKEN',
                   pushToken: 'CIPLUG_PUSH_TOKEN']
    Map logins = [jenkinsLogin: 'CIPLUG_JENKINS']
    List variables = []
    List credentials = []
    for (String key in settings.keySet()) {
        def value = settings[key]
        if (inputs.containsKey(key)) {
            String text = value instanceof List ? value.join('\n') : "${value}"
            variables.add("CIPLUG_INPUT_${inputs[key]}=${text}")
        } else if (secrets.containsKey(key)) {
            credentials.add(string(credentialsId: value, variable: secrets[key]))
        } else if (logins.containsKey(key)) {
            credentials.add(usernamePassword(credentialsId: value, usernameVariable: "${logins[key]}_USER",
                                             passwordVariable: "${logins[key]}_TOKEN"))
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
    variables.add("CIPLUG_OUTPUTS=${folder}/outputs.properties")
    variables.add("CIPLUG_ARCHIVED_FROM=${pwd()}")
    Map outputs = [:]
    withEnv(variables) {
        try {
            // Remove the results that an earlier build left in this workspace.
            sh label: 'ciplug: clean', script: '''
                set +x
                mark="$WORKSPACE_TMP/ciplug-$(printf '%s' "$PWD/$CIPLUG_INPUT_OUTPUT_DIR" | cksum | tr ' ' -)"
                if [ "$(cat "$mark" 2>/dev/null)" != "$BUILD_TAG" ]; then
                    rm -f "./$CIPLUG_INPUT_OUTPUT_DIR"/bundle.ndjson "./$CIPLUG_INPUT_OUTPUT_DIR"/bundle-[0-9]*-*.ndjson
                fi
                for name in report.md report.html report.json junit.xml metrics.txt outputs.properties; do
                    rm -f "./$CIPLUG_INPUT_OUTPUT_DIR/$name"
                done
                printf '%s' "$BUILD_TAG" > "$mark"
            '''
            installCiplug()
            Boolean isOnePart = settings.handOver || settings.collect || settings.bundle || env.CHANGE_FORK ||
                "${settings.store ?: ''}".startsWith('jenkins')
            if (isOnePart) {
                // The training of a fork's code gets no credential.
                withCredentials(env.CHANGE_FORK ? [] : credentials) {
                    callCiplug()
                }
            } else {
                // The training gets no credential. If it fails, the second part records that, and fails.
                withEnv(["CIPLUG_INPUT_HAND_OVER=true", "CIPLUG_INPUT_PROMOTE_TO=", "CIPLUG_INPUT_LABEL=",
                         "CIPLUG_INPUT_OUTPUT_DIR=${folder}-handed-over"]) {
                    sh label: 'ciplug: train', script: '''
                        set +x
                        rm -rf "./$CIPLUG_INPUT_OUTPUT_DIR"
                        "$WORKSPACE_TMP/ciplug/bin/python" -I -m ciplug.action \\
                            || test -s "./$CIPLUG_INPUT_OUTPUT_DIR/bundle.ndjson"
                    '''
                }
                List ofTraining = ['COMMAND', 'MODEL', 'NAME', 'SEED', 'METRICS', 'PARAMS', 'ARTIFACTS', 'DATASETS',
                                   'TAGS', 'ALLOW_UNCHANGED']
                withEnv(["CIPLUG_INPUT_COLLECT=${folder}-handed-over"] +
                        ofTraining.collect { String name -> "CIPLUG_INPUT_${name}=".toString() }) {
                    // Installed again: the training could have changed the first one.
                    installCiplug()
                    withCredentials(credentials) {
                        callCiplug()
                    }
                }
            }
        } finally {
            outputs = outputsIn("${folder}/outputs.properties")
            if (outputs.summary) {
                String before = currentBuild.description ? "${currentBuild.description}; " : ''
                currentBuild.description = before + outputs.summary.replaceAll(/[<>&"']/, '')
            }
            if (outputs.report && env.BUILD_URL) {
                echo "ciplug: the report is at ${env.BUILD_URL}artifact/${outputs.report}"
            }
            junit testResults: "${folder}/junit.xml", allowEmptyResults: true
            archiveArtifacts artifacts: "${folder}/**", allowEmptyArchive: true
        }
    }
    return outputs
}

/** Put ciplug into an environment of its own. */
private void installCiplug() {
    sh label: 'ciplug: install', script: '''
        set +x
        rm -rf "$WORKSPACE_TMP/ciplug"
        python3 -I -m venv "$WORKSPACE_TMP/ciplug"
        "$WORKSPACE_TMP/ciplug/bin/python" -I -m pip install --quiet "$CIPLUG_SOURCE"
    '''
}

private void callCiplug() {
    sh label: 'ciplug', script: '''
        set +x
        "$WORKSPACE_TMP/ciplug/bin/python" -I -m ciplug.action
    '''
}

/** What ciplug has left for later stages, `name=value` a line; nothing where it did not come so far. */
private Map outputsIn(String file) {
    Map found = [:]
    if (fileExists(file)) {
        for (String line in readFile(file: file, encoding: 'UTF-8').split('\n')) {
            int end = line.indexOf('=')
            if (end > 0) {
                found[line.substring(0, end)] = line.substring(end + 1)
            }
        }
    }
    return found
}
