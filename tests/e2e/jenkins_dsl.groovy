// A stand-in for Jenkins: it is not Jenkins, it only keeps a Jenkinsfile honest. It really runs `sh`, `when`,
// `post`, `input`, `withCredentials`, `withEnv`, `junit` and `archiveArtifacts`, checks the sources out for each
// agent as Jenkins' git plugin does, and refuses every directive, option and step that it does not know.
//
//   groovy jenkins_dsl.groovy BUILD.json…
//
// BUILD.json: jenkinsfile, folder (a new one, for workspaces and archive), scm {url, commit, branch, header},
// env, credentials {id: text}, vars (a shared library's folder), input ("approve" or "abort"), submitter (who
// answers it), parameters {name: text}.
// Everything that happens is written to folder/events.json. Builds are separated by "== next build" in what is said,
// and each has a code: 0 SUCCESS, 1 UNSTABLE, FAILURE or ABORTED, 2 when the Jenkinsfile is wrong. That of the last is
// the exit code.
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.nio.file.FileSystems
import java.nio.file.Files
import org.codehaus.groovy.control.CompilerConfiguration

class Wrong extends RuntimeException { Wrong(String words) { super(words) } }
class Failure extends RuntimeException { Failure(String words) { super(words) } }
class Aborted extends RuntimeException { Aborted(String words) { super(words) } }

class Build {
    Map config
    Map env = new TreeMap()
    List secrets = []
    List events = []
    String result = 'SUCCESS'
    File folder
    File workspace
    int agents = 0
    def library
    def currentBuild = new Expando(result: null, description: null, displayName: null)
    static final List ORDER = ['SUCCESS', 'UNSTABLE', 'FAILURE', 'ABORTED']

    void note(Map event) { events << event }

    void worsen(String to) {
        if (ORDER.indexOf(to) > ORDER.indexOf(result)) { result = to }
        currentBuild.result = result
    }

    String masked(String text) {
        secrets.findAll { it }.inject(text) { String all, String secret -> all.replace(secret, '****') }
    }

    void onAgent(Closure work) {
        def outer = [workspace, new TreeMap(env)]
        workspace = new File(folder, "workspace${++agents}")
        workspace.mkdirs()
        File temporary = new File("${workspace}@tmp")
        temporary.mkdirs()
        checkout()
        env += [WORKSPACE: workspace.path, WORKSPACE_TMP: temporary.path]
        try { work() } finally { (workspace, env) = outer }
    }

    private void checkout() {
        Map scm = config.scm
        List header = scm.header ? ['-c', "http.extraheader=${scm.header}".toString()] : []
        [['init', '--quiet'], ['remote', 'add', 'origin', scm.url],
         header + ['fetch', '--quiet', '--no-tags', 'origin', '+refs/heads/*:refs/remotes/origin/*',
                   '+refs/pull/*/head:refs/remotes/pull/*'],
         ['checkout', '--quiet', '--detach', scm.commit]].each { List words ->
            int code = start(['git'] + words, env).waitFor()
            if (code) { throw new Wrong("the stand-in's own checkout failed: git ${words.last()}") }
        }
        env += [GIT_COMMIT: scm.commit, GIT_URL: scm.url, GIT_BRANCH: scm.branch]
    }

    Process start(List command, Map variables) {
        def builder = new ProcessBuilder(command.collect { it.toString() }).directory(workspace)
        builder.redirectErrorStream(true)
        builder.environment().clear()
        variables.each { k, v -> builder.environment().put(k.toString(), v.toString()) }
        builder.start()
    }
}

/** Where a name that is not defined ends: an error, instead of a silent pass. */
abstract class Strict {
    Build build
    abstract String where()
    def methodMissing(String name, args) { throw new Wrong("${where()}: unknown: ${name}") }
    def propertyMissing(String name) {
        if (build.env.containsKey(name)) { return build.env[name] }
        throw new Wrong("${where()}: unknown name: ${name}")
    }
    protected void run(Closure block, Object delegate) {
        block.delegate = delegate
        block.resolveStrategy = Closure.DELEGATE_ONLY
        block.call()
    }
    protected void known(String step, Map given, List keys) {
        def strange = given.keySet() - keys
        if (strange) { throw new Wrong("${step}: unknown argument: ${strange.join(', ')}") }
    }
}

class Steps extends Strict {
    String where() { 'steps' }
    def getEnv() { new Environment(build: build) }
    def getCurrentBuild() { build.currentBuild }

    def sh(String script) { sh(script: script) }
    def sh(Map how) {
        known('sh', how, ['script', 'label', 'returnStatus', 'returnStdout'])
        Process process = build.start(['sh', '-xe', '-c', how.script], build.env)
        String output = process.inputStream.getText('UTF-8')
        int code = process.waitFor()
        build.note(step: 'sh', script: how.script.toString(), code: code, output: build.masked(output))
        print build.masked(output)
        if (how.returnStatus) { return code }
        if (code) { throw new Failure("script returned exit code ${code}") }
        how.returnStdout ? output : null
    }
    def echo(String text) { println build.masked(text) }
    def error(String text) { throw new Failure(text) }
    def unstable(String text) { build.worsen('UNSTABLE') }
    def script(Closure body) { within(body) }
    def pwd() { build.workspace.path }
    def fileExists(String path) { new File(build.workspace, path).exists() }
    def readFile(String path) { readFile(file: path) }
    def readFile(Map how) {
        known('readFile', how, ['file', 'encoding'])
        File file = new File(build.workspace, how.file)
        if (!file.isFile()) { throw new Failure("${file} is not there") }
        file.getText(how.encoding ?: 'UTF-8')
    }
    def dir(String path, Closure body) {
        File outer = build.workspace
        build.workspace = new File(outer, path)
        try { within(body) } finally { build.workspace = outer }
    }
    def timeout(Map how, Closure body) { known('timeout', how, ['time', 'unit', 'activity']); within(body) }
    def withEnv(List variables, Closure body) {
        variables.each {
            if (!it.toString().contains('=')) { throw new Wrong("withEnv: '${it}' is not NAME=value") }
        }
        added(variables.collectEntries { it.toString().split('=', 2) as List }, body)
    }
    def string(Map how) {
        known('string', how, ['credentialsId', 'variable'])
        [(how.variable): secret(how.credentialsId)]
    }
    def usernamePassword(Map how) {
        known('usernamePassword', how, ['credentialsId', 'usernameVariable', 'passwordVariable'])
        [(how.usernameVariable): 'user', (how.passwordVariable): secret(how.credentialsId)]
    }
    private String secret(String id) {
        String text = build.config.credentials[id]
        if (text == null) { throw new Failure("Could not find credentials entry with ID '${id}'") }
        build.secrets << text
        text
    }
    def withCredentials(List bindings, Closure body) { added(bindings.inject([:]) { all, one -> all + one }, body) }
    def junit(String pattern) { junit(testResults: pattern) }
    def junit(Map how) {
        known('junit', how, ['testResults', 'allowEmptyResults', 'skipPublishingChecks', 'skipMarkingBuildUnstable'])
        List files = matching(how.testResults)
        if (!files && !how.allowEmptyResults) { throw new Failure('No test report files were found') }
        Map seen = [tests: 0, failures: 0, skipped: 0]
        files.each { File file ->
            new XmlSlurper().parse(file).depthFirst().findAll { it.name() == 'testcase' }.each {
                seen.tests++
                if (it.failure.size() || it.error.size()) { seen.failures++ }
                if (it.skipped.size()) { seen.skipped++ }
            }
        }
        build.note([step: 'junit'] + seen)
        if (seen.failures && !how.skipMarkingBuildUnstable) { build.worsen('UNSTABLE') }
    }
    def archiveArtifacts(String pattern) { archiveArtifacts(artifacts: pattern) }
    def archiveArtifacts(Map how) {
        known('archiveArtifacts', how, ['artifacts', 'allowEmptyArchive', 'fingerprint', 'onlyIfSuccessful'])
        List files = matching(how.artifacts)
        if (!files && !how.allowEmptyArchive) { throw new Failure("No artifacts found that match '${how.artifacts}'") }
        List names = files.collect { File file ->
            String name = build.workspace.toPath().relativize(file.toPath())
            File copy = new File(build.folder, "archive/${name}")
            copy.parentFile.mkdirs()
            Files.copy(file.toPath(), copy.toPath(), java.nio.file.StandardCopyOption.REPLACE_EXISTING)
            name
        }
        build.note(step: 'archiveArtifacts', files: names)
    }

    /** A step of the shared library, vars/<name>.groovy, or a method of the one that is running. */
    def methodMissing(String name, args) {
        // In a closure within a closure, the delegate is asked before the script is.
        def running = build.library
        if (running && running.metaClass.respondsTo(running, name, args as Object[])) {
            return running.invokeMethod(name, args)
        }
        File file = new File("${build.config.vars}/${name}.groovy")
        if (!build.config.vars || !file.exists()) { throw new Wrong("steps: unknown: ${name}") }
        def config = new CompilerConfiguration(scriptBaseClass: LibraryScript.name)
        def library = new GroovyShell(Steps.classLoader, new Binding(), config).parse(file)
        library.setCaller(this)
        build.library = library
        try { library.invokeMethod('call', args) } finally { build.library = running }
    }

    protected List matching(String patterns) {
        def matchers = patterns.split(',').collect { FileSystems.default.getPathMatcher("glob:${it.trim()}") }
        List found = []
        if (!build.workspace.exists()) { return found }
        build.workspace.eachFileRecurse {
            def path = build.workspace.toPath().relativize(it.toPath())
            if (it.isFile() && matchers.any { m -> m.matches(path) }) { found << it }
        }
        found
    }
    protected added(Map variables, Closure body) {
        Map outer = new TreeMap(build.env)
        build.env += variables
        try { within(body) } finally { build.env = outer }
    }
    protected within(Closure body) {
        body.delegate = this
        body.resolveStrategy = Closure.DELEGATE_FIRST
        body.call()
    }
}

/** `env` in a pipeline: an unset variable is null, and an assignment lasts. */
class Environment {
    Build build
    def propertyMissing(String name) { build.env[name] }
    def propertyMissing(String name, value) { build.env[name] = value.toString() }
}

/** A shared step: what it does not define itself is a step, or a variable of the environment. */
abstract class LibraryScript extends Script {
    Steps caller
    def methodMissing(String name, args) { caller.invokeMethod(name, args) }
    def propertyMissing(String name) { caller."${name}" }
}

class Condition extends Strict {
    List<Boolean> results = []
    boolean beforeInput = false
    String where() { 'when' }
    def branch(String pattern) {
        def matcher = FileSystems.default.getPathMatcher("glob:${pattern}")
        results << (build.env.BRANCH_NAME != null && matcher.matches(new File(build.env.BRANCH_NAME).toPath()))
    }
    def changeRequest() { results << (build.env.CHANGE_ID != null) }
    def expression(Closure body) {
        body.delegate = new Steps(build: build)
        body.resolveStrategy = Closure.DELEGATE_FIRST
        results << (body.call() as boolean)
    }
    def environment(Map how) { known('when: environment', how, ['name', 'value']); results << (build.env[how.name] == how.value) }
    def not(Closure body) { results << !inner(body).results.every() }
    def allOf(Closure body) { results << inner(body).results.every() }
    def anyOf(Closure body) { results << inner(body).results.any() }
    def beforeInput(boolean on) { beforeInput = on }
    def beforeAgent(boolean on) { }
    Condition inner(Closure body) { def c = new Condition(build: build); run(body, c); c }
}

class Options extends Strict {
    String where() { 'options' }
    def timeout(Map how) { known('timeout', how, ['time', 'unit', 'activity']) }
    def disableConcurrentBuilds(Map how = [:]) { known('disableConcurrentBuilds', how, ['abortPrevious']) }
    def buildDiscarder(strategy) { }
    def logRotator(Map how) { known('logRotator', how, ['numToKeepStr', 'daysToKeepStr', 'artifactNumToKeepStr', 'artifactDaysToKeepStr']); how }
    def timestamps() { }
}

class Variables extends Strict {
    String where() { 'environment' }
    void setProperty(String name, value) {
        if (name == 'build') { build = value } else { build.env[name] = value.toString() }
    }
    def credentials(String id) {
        String text = build.config.credentials[id]
        if (text == null) { throw new Failure("Could not find credentials entry with ID '${id}'") }
        build.secrets << text
        text
    }
}

class Question extends Strict {
    Map asked = [:]
    String where() { 'input' }
    def message(String text) { asked.message = text }
    def ok(String text) { asked.ok = text }
    def id(String text) { asked.id = text }
    def submitter(String who) { asked.submitter = who }
    def submitterParameter(String name) { asked.submitterParameter = name }
}

class Parameters extends Strict {
    String where() { 'parameters' }
    def string(Map how) { given('string', how, ['name', 'defaultValue', 'description', 'trim']) }
    def booleanParam(Map how) { given('booleanParam', how, ['name', 'defaultValue', 'description']) }
    private given(String kind, Map how, List keys) {
        known(kind, how, keys)
        def value = (build.config.parameters ?: [:])[how.name]
        build.env[how.name] = (value == null ? how.defaultValue : value).toString()
    }
}

class Triggers extends Strict {
    String where() { 'triggers' }
    def cron(String when) { build.note(cron: when) }
}

class Post extends Strict {
    static final List CONDITIONS = ['always', 'success', 'failure', 'unstable', 'aborted', 'unsuccessful', 'cleanup']
    Map blocks = [:]
    String where() { 'post' }
    def methodMissing(String name, args) {
        if (!(name in CONDITIONS)) { throw new Wrong("post: unknown condition: ${name}") }
        blocks[name] = args[0]
    }
    void perform() {
        Map holds = [always: true, success: build.result == 'SUCCESS', failure: build.result == 'FAILURE',
                     unstable: build.result == 'UNSTABLE', aborted: build.result == 'ABORTED',
                     unsuccessful: build.result != 'SUCCESS', cleanup: true]
        CONDITIONS.findAll { blocks[it] && holds[it] }.each { String condition ->
            build.note(post: condition)
            try {
                run(blocks[condition], new Steps(build: build))
            } catch (Failure problem) {
                build.note(failed: build.masked(problem.message))
                build.worsen('FAILURE')
            }
        }
    }
}

/** What a pipeline and a stage have in common: agent, environment, options, post. */
abstract class Section extends Strict {
    String agent
    Closure variables
    Post after
    def getAny() { 'any' }
    def getNone() { 'none' }
    def agent(String kind) { agent = kind }
    def agent(Closure body) { run(body, new AgentBlock(build: build)); agent = 'any' }
    def environment(Closure body) { variables = body }
    def options(Closure body) { run(body, new Options(build: build)) }
    def post(Closure body) { after = new Post(build: build); run(body, after) }

    protected void surrounded(Closure work) {
        Closure all = {
            Map outer = new TreeMap(build.env)
            try {
                if (variables) { run(variables, new Variables(build: build)) }
                try {
                    work()
                } catch (Aborted problem) {
                    build.note(aborted: problem.message)
                    build.worsen('ABORTED')
                } catch (Failure problem) {
                    build.note(failed: build.masked(problem.message))
                    println "ERROR: ${build.masked(problem.message)}"
                    build.worsen('FAILURE')
                } finally {
                    after?.perform()
                }
            } finally { build.env = outer }
        }
        agent == 'any' ? build.onAgent(all) : all()
    }
}

class AgentBlock extends Strict {
    String where() { 'agent' }
    def label(String name) { }
}

class Stage extends Section {
    String name
    Closure condition, question, steps
    Stages inner
    Map answered = [:]
    String where() { "stage '${name}'" }
    def when(Closure body) { condition = body }
    def input(Closure body) { question = body }
    def steps(Closure body) { steps = body }
    def stages(Closure body) { inner = new Stages(build: build); run(body, inner) }

    void perform() {
        if (!steps == !inner) { throw new Wrong("${where()}: give 'steps' or 'stages'") }
        if (build.result in ['FAILURE', 'ABORTED']) { build.note(stage: name, skipped: 'an earlier stage failed'); return }
        def when = new Condition(build: build)
        if (condition) { run(condition, when) }
        boolean goes = when.results.every()
        if (question && (goes || !when.beforeInput)) {
            def asked = new Question(build: build)
            run(question, asked)
            if (!asked.asked.message) { throw new Wrong('input: a message is required') }
            build.note(input: asked.asked, answer: build.config.input)
            if (build.config.input != 'approve') { build.worsen('ABORTED'); return }
            answered = asked.asked.submitterParameter ? [(asked.asked.submitterParameter): build.config.submitter] : [:]
        }
        if (!goes) { build.note(stage: name, skipped: 'when'); return }
        build.note(stage: name)
        Map outer = new TreeMap(build.env)
        build.env += answered
        try {
            surrounded {
                if (inner) { inner.perform() } else { run(steps, new Steps(build: build)) }
            }
        } finally { build.env = outer }
    }
}

class Stages extends Strict {
    List<Stage> all = []
    String where() { 'stages' }
    def stage(String name, Closure body) {
        def made = new Stage(build: build, name: name)
        run(body, made)
        all << made
    }
    void perform() {
        if (!all) { throw new Wrong('stages: at least one stage is required') }
        all*.perform()
    }
}

class Pipeline extends Section {
    Stages inner
    String where() { 'pipeline' }
    def parameters(Closure body) { run(body, new Parameters(build: build)) }
    def triggers(Closure body) { run(body, new Triggers(build: build)) }
    def stages(Closure body) { inner = new Stages(build: build); run(body, inner) }
    void perform() {
        if (!agent) { throw new Wrong("pipeline: 'agent' is required") }
        if (!inner) { throw new Wrong("pipeline: 'stages' is required") }
        surrounded { inner.perform() }
    }
}

abstract class PipelineScript extends Script {
    def pipeline(Closure body) {
        def made = new Pipeline(build: binding.getVariable('build'))
        made.run(body, made)
        made.perform()
    }
    def library(String name) { }
    def methodMissing(String name, args) { throw new Wrong("Jenkinsfile: unknown: ${name}") }
}

int code
args.eachWithIndex { String file, int number ->
    if (number) { println '== next build' }
    def config = new JsonSlurper().parse(new File(file))
    def build = new Build(config: config, folder: new File(config.folder))
    build.env.putAll(config.env)
    try {
        def compiler = new CompilerConfiguration(scriptBaseClass: PipelineScript.name)
        def shell = new GroovyShell(this.class.classLoader, new Binding([build: build]), compiler)
        shell.evaluate(new File(config.jenkinsfile))
        code = build.result == 'SUCCESS' ? 0 : 1
    } catch (Wrong problem) {
        System.err.println "the Jenkinsfile is wrong: ${problem.message}"
        build.result = 'WRONG'
        build.note(wrong: problem.message)
        code = 2
    }
    println "Finished: ${build.result}"
    new File(build.folder, 'events.json').text = JsonOutput.toJson(
        [result: build.result, description: build.currentBuild.description, events: build.events, code: code])
}
System.exit(code)
